"""Bytes from strangers → pixels: bounded, allow-listed, the right way up.

Pillow alone decodes. OpenCV's reduced JPEG decode is a tenth faster and says nothing about a
truncated file; Pillow's draft mode uses the same DCT scaling and does.
"""

import io
import re
import threading
import warnings
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Self

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
from catalog.images.costs import decoding_bytes, webp_bytes
from catalog.images.formats import ImageFormat, sniff
from catalog.images.guards import check_structure, too_many_pixels, webp_size
from catalog.images.memory import Room
from catalog.images.orientation import SIDEWAYS, TURNS, exif_orientation
from catalog.images.reducing import reduced_rgb
from catalog.settings import Settings


class _Jpeg(JpegImagePlugin.JpegImageFile):
    """A JPEG whose EXIF block Pillow leaves alone.

    Pillow reads all of it for the resolution in dpi, and warns over every broken tag: common in
    good photos, and no reason to refuse one.
    """

    def _read_dpi_from_exif(self) -> None:
        return


class _WebP(WebPImagePlugin.WebPImageFile):
    """A WebP whose decoder, with its two canvases, goes before Pillow's picture is made."""

    def load_prepare(self) -> None:
        del self._decoder
        super().load_prepare()


class _Avif(AvifImagePlugin.AvifImageFile):
    """The same for an AVIF and its planes."""

    def load_prepare(self) -> None:
        del self._decoder
        super().load_prepare()


# The classes themselves, not Image.open: no other decoder can be reached, and neither Pillow's
# own size warning (process-wide, at 89 million pixels) nor its list of plugins is involved.
_DECODERS: Mapping[ImageFormat, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
    ImageFormat.JPEG: _Jpeg,
    ImageFormat.PNG: PngImagePlugin.PngImageFile,
    ImageFormat.WEBP: _WebP,
    ImageFormat.GIF: GifImagePlugin.GifImageFile,
    ImageFormat.BMP: BmpImagePlugin.BmpImageFile,
    ImageFormat.TIFF: TiffImagePlugin.TiffImageFile,
    ImageFormat.AVIF: _Avif,
}
# The rarer codecs of TIFF are the less tested ones; run-length BMP is decoded in slow Python.
_COMPRESSIONS: Mapping[ImageFormat, Container[object]] = {
    ImageFormat.TIFF: {
        "raw", "packbits", "jpeg", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate",
    },
    ImageFormat.BMP: {BmpImagePlugin.BmpImageFile.COMPRESSIONS[c] for c in ("RAW", "BITFIELDS")},
}  # fmt: skip
_MODES = {"1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "LA", "La", "PA", "RGBA", "RGBa"}

# All threads of a process together decode within the memory that one picture may take.
_room = Room()

_PILLOW = re.compile(r"PIL\.")
_WARNINGS_ARE_ERRORS = ("error", None, Warning, _PILLOW, 0)
_filters_lock = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class DecodeLimits:
    """What a file may cost at most; one that costs more becomes a permanent failure.

    The settings' own defaults; each is checked before what it bounds is spent.
    """

    # A camera's largest JPEG has some 20 MB. Beyond: too_many_bytes, before it is looked at.
    bytes_max: int = 25_000_000
    # A camera's largest picture has 45 to 50 megapixels; decoding time grows with them. Beyond:
    # too_many_pixels, by the header.
    pixels_max: int = 50_000_000
    # Two children of a worker and their parent fit into 1 GB. Beyond, by catalog/images/costs.py:
    # too_many_pixels, by the header. It is shared: threads whose pictures do not fit together wait.
    memory_bytes_max: int = 300_000_000

    @classmethod
    def of(cls, chosen: Settings) -> Self:
        """The limits that the settings name."""
        return cls(
            bytes_max=chosen.image_bytes_max,
            pixels_max=chosen.image_pixels_max,
            memory_bytes_max=chosen.image_memory_bytes_max,
        )


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
    with ExitStack() as held:
        if image_format is ImageFormat.WEBP:
            _take_room(held, webp_bytes(data, size_px_min), webp_size(data), image_format, limits)
        image = held.enter_context(_DECODERS[image_format](io.BytesIO(data)))
        width, height = image.size
        _check_size(width, height, limits)
        _check_kind(image, image_format)
        if isinstance(image, _Jpeg):
            _let_codec_reduce(image, size_px_min)
        if image_format is not ImageFormat.WEBP:
            needed = decoding_bytes(image, data, image_format, (width, height), size_px_min)
            _take_room(held, needed, (width, height), image_format, limits)
        picture, orientation = _load_reduced(image, size_px_min)
        pixels = np.asarray(picture, np.uint8)
    if orientation in SIDEWAYS:
        width, height = height, width
    return DecodedImage(pixels=pixels, width_px=width, height_px=height, format=image_format)


def _take_room(
    held: ExitStack,
    needed: int,
    size: tuple[int, int],
    image_format: ImageFormat,
    limits: DecodeLimits,
) -> None:
    """Wait until other threads have left enough memory; refuse what would never fit."""
    if needed > limits.memory_bytes_max:
        raise DecodeFailure(
            FailureCode.TOO_MANY_PIXELS,
            f"Expected a picture that is decoded in {limits.memory_bytes_max / 1e6:,.0f} MB of "
            f"memory, found a {image_format} of {size[0]:,}×{size[1]:,} pixels, which may take "
            f"{needed / 1e6:,.0f}. Upload a smaller picture, or a baseline JPEG.",
        )
    held.enter_context(_room.take(needed, of=limits.memory_bytes_max))


def _load_reduced(image: ImageFile.ImageFile, size_px_min: int) -> tuple[Image.Image, int]:
    image.load()
    # Read after loading, as a PNG may keep its EXIF block at the end. A TIFF has none in its info
    # and turns itself while it loads, its size even before.
    orientation = exif_orientation(image.info.get("exif", b""))
    picture = reduced_rgb(image, size_px_min)
    if orientation in TURNS:
        picture = picture.transpose(TURNS[orientation])
    return picture, orientation


def _let_codec_reduce(image: _Jpeg, size_px_min: int) -> None:
    width, height = image.size
    longest = max(width, height)
    scale = next((s for s in (8, 4, 2) if -(-longest // s) >= size_px_min), 1)
    image.draft(None, (max(1, width // scale), max(1, height // scale)))


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
    if image.mode not in _MODES and not image.mode.startswith("I;16"):
        raise _unsupported(f"{image_format} with pixels of the kind {image.mode!r}")


def _unsupported(found: str) -> DecodeFailure:
    return DecodeFailure(
        FailureCode.UNSUPPORTED_FORMAT,
        f"Expected 8 or 16 bits a channel in a common encoding, found {found}. "
        "Export the picture as JPEG.",
    )


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
