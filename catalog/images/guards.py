"""Refuse, from the structure of a file alone, what would take minutes to decode."""

from catalog.images.formats import ImageFormat


def check_structure(data: bytes, image_format: ImageFormat, pixels_max: int) -> None:
    """Walk over a file's parts without decoding any."""
