"""Which format a file has, told by its first bytes: names and content types are not believed."""

import codecs
from enum import StrEnum

from PIL import features

from catalog.failures import DecodeFailure, FailureCode


class ImageFormat(StrEnum):
    """The formats that are decoded; no other decoder is ever reached."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WebP"
    GIF = "GIF"
    BMP = "BMP"
    TIFF = "TIFF"
    AVIF = "AVIF"


SUPPORTED = "JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF"

_MAGIC = (
    (b"\xff\xd8\xff", ImageFormat.JPEG),
    (b"\x89PNG\r\n\x1a\n", ImageFormat.PNG),
    (b"GIF87a", ImageFormat.GIF),
    (b"GIF89a", ImageFormat.GIF),
    (b"II*\0", ImageFormat.TIFF),
    (b"MM\0*", ImageFormat.TIFF),
    (b"BM", ImageFormat.BMP),
)
_OTHER_PICTURES = (
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"8BPS", "Photoshop"),
    (b"\x00\x00\x01\x00", "icon (ICO)"),
    (b"II+\0", "BigTIFF"),
    (b"MM\0+", "BigTIFF"),
    (b"FUJIFILMCCD-RAW", "camera raw"),
)
_NO_PICTURES = (
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive or office document"),
    (b"\x1f\x8b", "gzip-compressed data"),
    (b"\x1aE\xdf\xa3", "a video"),
    (b"version https://git-lfs", "a Git LFS pointer"),
)
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_AVIF_BRANDS = {b"avif", b"avis"}


def sniff(data: bytes) -> ImageFormat:
    """The format of a file's bytes.

    Raises:
        DecodeFailure: the file is empty, a picture of another format, or no picture.
    """
    if not data:
        raise DecodeFailure(
            FailureCode.EMPTY_FILE, "Expected an image, found a file of 0 bytes. Upload it again."
        )
    for magic, image_format in _MAGIC:
        if data.startswith(magic):
            return image_format
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return ImageFormat.WEBP
    if data[4:8] == b"ftyp":
        return _iso_media(data)
    raise _foreign(data)


def _iso_media(data: bytes) -> ImageFormat:
    """Tell AVIF from HEIC and video by the brands of the `ftyp` box (ISO/IEC 14496-12)."""
    # Real files name fewer than ten brands of four bytes; what stands behind 512 is not read.
    end = min(int.from_bytes(data[:4], "big"), 512)
    brands = {data[8:12]} | {data[at : at + 4] for at in range(16, end, 4)}
    if brands & _AVIF_BRANDS:
        if features.check("avif"):
            return ImageFormat.AVIF
        raise _unsupported("AVIF, which this build of Pillow cannot read")
    if brands & _HEIC_BRANDS:
        raise _unsupported("HEIC, the format of phone cameras")
    raise _no_image("a video or audio file")


def _foreign(data: bytes) -> DecodeFailure:
    for magic, name in _OTHER_PICTURES:
        if data.startswith(magic):
            return _unsupported(name)
    for magic, name in _NO_PICTURES:
        if data.startswith(magic):
            return _no_image(name)
    text = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in text:
        return _unsupported("SVG")
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return _no_image("a web page (HTML)")
    if _is_text(data[:512]):
        return _no_image("text")
    return _no_image(f"bytes that start with {data[:8].hex(' ')}")


def _is_text(head: bytes) -> bool:
    """Whether bytes, cut anywhere, read as UTF-8 without control characters."""
    if any(byte < 32 and byte not in b"\t\r\n" for byte in head):
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def _unsupported(name: str) -> DecodeFailure:
    return DecodeFailure(
        FailureCode.UNSUPPORTED_FORMAT,
        f"Expected {SUPPORTED}, found {name}. Export the picture as JPEG.",
    )


def _no_image(name: str) -> DecodeFailure:
    return DecodeFailure(
        FailureCode.NOT_AN_IMAGE,
        f"Expected {SUPPORTED}, found {name}. Check what the URI points to.",
    )
