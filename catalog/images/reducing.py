"""A decoded picture of any kind → a smaller one in RGB, without copies of the large one."""

from collections.abc import Iterator

import numpy as np
from PIL import Image

# Converted and averaged in pieces of about this size: an RGBA copy of a whole picture, and the
# premultiplied one that Pillow averages, would take four bytes a pixel each.
_PIECE_PX = 1_000_000
_ALPHA_MODES = {"LA", "La", "PA", "RGBA", "RGBa"}

Box = tuple[int, int, int, int]


def reduced_rgb(picture: Image.Image, size_px_min: int) -> Image.Image:
    """Average boxes of whole pixels until less than twice the wanted longest edge is left.

    Transparency is laid over white.
    """
    width, height = picture.size
    factor = max(width, height) // size_px_min
    if factor < 2:
        return _over_white(_in_averageable_mode(picture))
    across, down = min(factor, width), min(factor, height)
    small = Image.new("RGB", (-(-width // across), -(-height // down)))
    for box in _pieces(width, height, across, down):
        piece = _in_averageable_mode(picture.crop(box)).reduce((across, down))
        small.paste(_over_white(piece), (box[0] // across, box[1] // down))
    return small


def _pieces(width: int, height: int, across: int, down: int) -> Iterator[Box]:
    """Boxes that cover a picture; all but the last of each row and column hold whole averages."""
    wide = max(1, _PIECE_PX // (across * down)) * across
    high = max(1, _PIECE_PX // (min(wide, width) * down)) * down
    for top in range(0, height, high):
        for left in range(0, width, wide):
            yield left, top, min(left + wide, width), min(top + high, height)


def _in_averageable_mode(image: Image.Image) -> Image.Image:
    """The same picture in a mode whose values can be averaged."""
    if image.mode.startswith("I;16"):
        # Pillow's own conversion clips instead of scaling.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if "transparency" in image.info or image.mode == "PA":
        return image.convert("RGBA")
    if image.mode in ("1", "P"):
        return image.convert("RGB")
    return image


def _over_white(picture: Image.Image) -> Image.Image:
    if picture.mode == "RGB":
        return picture  # convert would copy it
    if picture.mode not in _ALPHA_MODES:
        return picture.convert("RGB")
    picture = picture.convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")
