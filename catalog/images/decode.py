"""Bytes from strangers → pixels: bounded, allow-listed, the right way up.

Pillow alone decodes. OpenCV's reduced JPEG decode is a tenth faster and says nothing about a
truncated file; Pillow's draft mode uses the same DCT scaling and does.
"""

import io
import re
import threading
import warnings
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from catalog.failures import DecodeFailure, FailureCode
from catalog.images.formats import ImageFormat, sniff
from catalog.images.guards import check_structure, too_many_pixels
from catalog.images.orientation import SIDEWAYS, TURNS, exif_orientation


class _Jpeg(JpegImagePlugin.JpegImageFile):
    """A JPEG whose EXIF block Pillow leaves alone.

    Pillow reads all of it for the resolution in dpi, and warns over every broken tag: common in
    good photos, and no reason to refuse one.
    """

    def _read_dpi_from_exif(self) -> None:
        return


# The classes themselves, not Image.open: no other decoder can be reached, and neither Pillow's
# own size warning (process-wide, at 89 million pixels) nor its list of plugins is involved.
_DECODERS: Mapping[ImageFormat, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
    ImageFormat.JPEG: _Jpeg,
    ImageFormat.PNG: PngImagePlugin.PngImageFile,
    ImageFormat.WEBP: WebPImagePlugin.WebPImageFile,
    ImageFormat.GIF: GifImagePlugin.GifImageFile,
    ImageFormat.BMP: BmpImagePlugin.BmpImageFile,
    ImageFormat.TIFF: TiffImagePlugin.TiffImageFile,
    ImageFormat.AVIF: AvifImagePlugin.AvifImageFile,
}
# The rarer codecs of TIFF are the less tested ones; run-length BMP is decoded in slow Python.
_COMPRESSIONS: Mapping[ImageFormat, Container[object]] = {
    ImageFormat.TIFF: {
        "raw", "packbits", "jpeg", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate",
    },
    ImageFormat.BMP: {BmpImagePlugin.BmpImageFile.COMPRESSIONS[c] for c in ("RAW", "BITFIELDS")},
}  # fmt: skip
_OPAQUE_MODES = {"1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr"}
_ALPHA_MODES = {"LA", "La", "PA", "RGBA", "RGBa"}

# Above this many pixels a picture that must be decoded whole (up to 9 bytes a pixel while it is
# turned into RGB) waits its turn, so that threads do not add up their peaks.
_LARGE_PX = 10_000_000
_one_large_picture = threading.Lock()

_PILLOW = re.compile(r"PIL\.")
_WARNINGS_ARE_ERRORS = ("error", None, Warning, _PILLOW, 0)
_filters_lock = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class DecodeLimits:
    """What a file may cost at most."""

    bytes_max: int = 25_000_000
    pixels_max: int = 50_000_000


@dataclass(frozen=True, kw_only=True)
class DecodedImage:
    """A picture the right way up.

    pixels: uint8 (H, W, 3) RGB, 0-255, transparency laid over white, already reduced towards the
    wanted size. width_px, height_px: of the original, the right way up.
    """

    pixels: NDArray[np.uint8]
    width_px: int
    height_px: int
    format: ImageFormat


def decode(data: bytes, *, size_px_min: int, limits: DecodeLimits | None = None) -> DecodedImage:
    """Decode the first frame of an image file.

    The picture is reduced by a whole factor (by a JPEG's own DCT scaling first, which skips most
    of the work) so that its longest edge keeps at least `size_px_min` pixels, or all it has. May
    be called from many threads at once.

    Raises:
        DecodeFailure: with a permanent code, or out_of_memory.
    """
    limits = limits or DecodeLimits()
    if len(data) > limits.bytes_max:
        raise DecodeFailure(
            FailureCode.TOO_MANY_BYTES,
            f"Expected at most {limits.bytes_max:,} bytes, found {len(data):,}. "
            "Upload a smaller file.",
        )
    image_format = sniff(data)
    check_structure(data, image_format, limits.pixels_max)
    _turn_warnings_of_pillow_into_errors()
    with _as_failures(image_format):
        return _decode(data, image_format, size_px_min, limits)


def _decode(
    data: bytes, image_format: ImageFormat, size_px_min: int, limits: DecodeLimits
) -> DecodedImage:
    with _DECODERS[image_format](io.BytesIO(data)) as image:
        width, height = image.size
        _check_size(width, height, limits)
        _check_kind(image, image_format)
        with _turn_to_decode(image, image_format):
            picture, orientation = _load_reduced(image, size_px_min)
    if orientation in SIDEWAYS:
        width, height = height, width
    return DecodedImage(
        pixels=np.asarray(picture, np.uint8),
        width_px=width,
        height_px=height,
        format=image_format,
    )


def _load_reduced(image: ImageFile.ImageFile, size_px_min: int) -> tuple[Image.Image, int]:
    if isinstance(image, _Jpeg):
        _let_codec_reduce(image, size_px_min)
    image.load()
    # Read after loading, as a PNG may keep its EXIF block at the end. A TIFF has none in its info
    # and turns itself while it loads, its size even before.
    orientation = exif_orientation(image.info.get("exif", b""))
    picture = _over_white(_reduce(_without_palette(image), size_px_min))
    if orientation in TURNS:
        picture = picture.transpose(TURNS[orientation])
    return picture, orientation


def _let_codec_reduce(image: _Jpeg, size_px_min: int) -> None:
    width, height = image.size
    longest = max(width, height)
    scale = next((s for s in (8, 4, 2) if -(-longest // s) >= size_px_min), 1)
    image.draft(None, (max(1, width // scale), max(1, height // scale)))


def _reduce(picture: Image.Image, size_px_min: int) -> Image.Image:
    """Average boxes of whole pixels until less than twice the wanted edge is left."""
    width, height = picture.size
    factor = max(width, height) // size_px_min
    if factor < 2:
        return picture
    return picture.reduce((min(factor, width), min(factor, height)))


def _without_palette(image: Image.Image) -> Image.Image:
    """The same picture in a mode whose values can be averaged."""
    if image.mode.startswith("I;16"):
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


def _check_size(width: int, height: int, limits: DecodeLimits) -> None:
    if width < 1 or height < 1:
        raise DecodeFailure(
            FailureCode.CORRUPT_IMAGE,
            f"Expected a picture, found one of {width}×{height} pixels. Export it again.",
        )
    if width * height > limits.pixels_max:
        raise too_many_pixels(width, height, limits.pixels_max)


def _check_kind(image: ImageFile.ImageFile, image_format: ImageFormat) -> None:
    allowed = _COMPRESSIONS.get(image_format)
    compression = image.info.get("compression")
    if allowed is not None and compression not in allowed:
        raise _unsupported(f"{image_format} with the compression {compression!r}")
    if image.mode not in _OPAQUE_MODES | _ALPHA_MODES and not image.mode.startswith("I;16"):
        raise _unsupported(f"{image_format} with pixels of the kind {image.mode!r}")


def _unsupported(found: str) -> DecodeFailure:
    return DecodeFailure(
        FailureCode.UNSUPPORTED_FORMAT,
        f"Expected 8 or 16 bits a channel in a common encoding, found {found}. "
        "Export the picture as JPEG.",
    )


@contextmanager
def _turn_to_decode(image: ImageFile.ImageFile, image_format: ImageFormat) -> Iterator[None]:
    width, height = image.size
    streamed = image_format is ImageFormat.JPEG and "progressive" not in image.info
    if width * height <= _LARGE_PX or streamed:
        yield
        return
    with _one_large_picture:
        yield


@contextmanager
def _as_failures(image_format: ImageFormat) -> Iterator[None]:
    """Say in one sentence what any complaint of Pillow means."""
    try:
        yield
    except DecodeFailure:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        # Pillow's own limit; reached only where ours was set above 89 million pixels.
        raise DecodeFailure(FailureCode.TOO_MANY_PIXELS, f"Pillow refused: {error}") from error
    except MemoryError:
        raise DecodeFailure(
            FailureCode.OUT_OF_MEMORY,
            f"Memory ran out while decoding this {image_format}. Give the worker more, or lower "
            "TAGGER_IMAGE_PIXELS_MAX.",
        ) from None
    # Pillow's parsers raise OSError, SyntaxError, ValueError, struct.error, zlib.error and more;
    # whatever it is, it is about these bytes.
    except Exception as error:
        raise _damaged(image_format, error) from error


def _damaged(image_format: ImageFormat, error: Exception) -> DecodeFailure:
    said = f"{type(error).__name__}: {error}"[:200]
    if re.search("truncated|unexpected end|eof", said, re.IGNORECASE):
        return DecodeFailure(
            FailureCode.TRUNCATED_IMAGE,
            f"Expected a whole {image_format}, found one that ends too early ({said}). "
            "Upload the file again.",
        )
    return DecodeFailure(
        FailureCode.CORRUPT_IMAGE,
        f"Expected an intact {image_format}, found a damaged one ({said}). "
        "Export or upload the picture again.",
    )


def _turn_warnings_of_pillow_into_errors() -> None:
    """Make a warning raised inside Pillow an error, for good, in this process.

    warnings.catch_warnings would swap the filters of all threads back and forth; one filter that
    names Pillow's modules is put in once and left there, and other code's warnings keep their
    own rules.
    """
    if _WARNINGS_ARE_ERRORS not in warnings.filters:
        with _filters_lock:
            warnings.filterwarnings("error", module=_PILLOW.pattern)
