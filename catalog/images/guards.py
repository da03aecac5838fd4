"""Refuse, from the structure of a file alone, what would take minutes to decode.

Pillow walks over the parts of a file in Python, so millions of tiny parts in a few megabytes cost
as much time as an attacker likes; a progressive JPEG costs a pass over all pixels for each of its
scans. The walks here do nothing but count, and stop at the limit.
"""

import re
from dataclasses import dataclass

from catalog.failures import DecodeFailure, FailureCode
from catalog.images.formats import ImageFormat

# Beyond each of these a file is too_costly_image, a permanent failure, and nothing was decoded.
# Parts of a file, over each of which Pillow spends some microseconds in Python. Real files have
# tens of them, JPEGs some hundreds where a colour profile of megabytes is cut into pieces of 64 kB,
# PNGs thousands where encoders write 8 kB at a time.
JPEG_SEGMENTS_MAX = 4_096
PNG_CHUNKS_MAX = 20_000
GIF_BLOCKS_MAX = 100_000
TIFF_STRIPS_MAX = 100_000
# libtiff writes a line to stderr for each tag that it does not understand; cameras write some 100.
TIFF_TAGS_MAX = 1_000
# Each scan is a pass over the picture. Encoders write about ten; libjpeg-turbo's own fuzzers stop
# at 500.
JPEG_SCANS_MAX = 500
# And so many passes over pixels_max pixels in all: a smaller picture may have more
# scans.
JPEG_PASSES_MAX = 20

_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL_SOF = {0xC0, 0xC1, 0xC9}
_SOS, _EOI = 0xDA, 0xD9
_WITHOUT_LENGTH = frozenset(range(0xD0, 0xD9)) | {0x01}
_NEXT_MARKER = re.compile(rb"\xff[\x02-\xcf\xd9-\xfe]")
_STRIP_TAGS = {273, 324}


def check_structure(data: bytes, image_format: ImageFormat, pixels_max: int) -> None:
    """Walk over a file's parts without decoding any.

    Raises:
        DecodeFailure: too_costly_image, or too_many_pixels for a WebP or GIF, whose decoders
            allocate before they tell the size.
    """
    match image_format:
        case ImageFormat.JPEG:
            _check_jpeg(data, pixels_max)
        case ImageFormat.PNG:
            _check_png(data)
        case ImageFormat.GIF:
            _check_gif(data, pixels_max)
        case ImageFormat.TIFF:
            _check_tiff(data)
        case ImageFormat.WEBP:
            _check_webp(data, pixels_max)


def too_many_pixels(width: int, height: int, pixels_max: int) -> DecodeFailure:
    """The failure of a picture larger than allowed."""
    return DecodeFailure(
        FailureCode.TOO_MANY_PIXELS,
        f"Expected at most {pixels_max:,} pixels, found {width:,}×{height:,}. "
        "Upload a smaller picture.",
    )


def is_buffered_jpeg(data: bytes) -> bool:
    """Whether a JPEG comes in several scans, so that all of it must be kept until the last."""
    start = _first_scan(data)
    return start is not None and not start.complete


@dataclass(frozen=True, kw_only=True)
class _FirstScan:
    """Where a JPEG's pixels begin; complete: this scan has all of them, and may be streamed."""

    position: int
    pixels: int
    complete: bool


def _check_jpeg(data: bytes, pixels_max: int) -> None:
    """Count segments up to the first scan, and scans where they cannot be read as a stream."""
    start = _first_scan(data)
    if start is not None and not start.complete:
        _check_scans(data, start.position, start.pixels, pixels_max)


def _first_scan(data: bytes) -> _FirstScan | None:
    frame, components, pixels = 0, 0, 0
    position = 2
    for _ in range(JPEG_SEGMENTS_MAX):
        if data[position : position + 1] != b"\xff":
            position += 1
            continue
        marker = int.from_bytes(data[position + 1 : position + 2], "big")
        if marker in (0x00, 0xFF):
            position += 1
            continue
        if marker == _SOS:
            one_pass = frame in _SEQUENTIAL_SOF and data[position + 4 : position + 5] == bytes(
                [components]
            )
            return _FirstScan(position=position, pixels=pixels, complete=one_pass)
        if marker in _SOF:
            frame = marker
            height, width = _u16(data, position + 5), _u16(data, position + 7)
            pixels = max(pixels, width * height)
            components = data[position + 9] if position + 9 < len(data) else 0
        position += 2 if marker in _WITHOUT_LENGTH else 2 + max(2, _u16(data, position + 2))
        if position >= len(data):
            return None
    raise _too_costly(f"more than {JPEG_SEGMENTS_MAX:,} segments before its picture")


def _check_scans(data: bytes, position: int, pixels: int, pixels_max: int) -> None:
    scans_max = min(JPEG_SCANS_MAX, JPEG_PASSES_MAX * pixels_max // max(1, pixels))
    # Counts too many where other data follow the picture, and is done in no time.
    if data.count(b"\xff\xda", position) <= scans_max:
        return
    scans = 0
    for _ in range(JPEG_SEGMENTS_MAX):
        found = _NEXT_MARKER.search(data, position)
        if found is None or data[found.start() + 1] == _EOI:
            return
        scans += data[found.start() + 1] == _SOS
        if scans > scans_max:
            raise _too_costly(f"more than {scans_max:,} scans")
        position = found.end() + max(2, _u16(data, found.end()))
    raise _too_costly(f"more than {JPEG_SEGMENTS_MAX:,} segments between its scans")


def _check_png(data: bytes) -> None:
    position = 8
    for _ in range(PNG_CHUNKS_MAX):
        if position + 8 > len(data) or data[position + 4 : position + 8] == b"IEND":
            return
        position += 12 + int.from_bytes(data[position : position + 4], "big")
    raise _too_costly(f"more than {PNG_CHUNKS_MAX:,} chunks")


def _check_gif(data: bytes, pixels_max: int) -> None:
    """Look at the canvas, for which Pillow may allocate at once; count blocks up to a frame."""
    width, height = (int.from_bytes(data[at : at + 2], "little") for at in (6, 8))
    if width * height > pixels_max:
        raise too_many_pixels(width, height, pixels_max)
    flags = data[10] if len(data) > 10 else 0
    position = 13 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
    in_extension = False
    for _ in range(GIF_BLOCKS_MAX):
        if position >= len(data):
            return
        byte = data[position]
        if in_extension:
            in_extension = byte != 0
            position += 1 + byte
        elif byte == ord("!"):
            in_extension = True
            position += 2
        elif byte in b",;":
            return
        else:
            position += 1
    raise _too_costly(f"more than {GIF_BLOCKS_MAX:,} blocks before its first frame")


def _check_tiff(data: bytes) -> None:
    """Look at how many tags, strips and tiles the first directory announces."""

    def number(start: int, size: int) -> int:
        return int.from_bytes(data[start : start + size], "little" if data[:2] == b"II" else "big")

    directory = number(4, 4)
    starts = range(directory + 2, len(data) - 11, 12)[: number(directory, 2)]
    if len(starts) > TIFF_TAGS_MAX:
        raise _too_costly(f"more than {TIFF_TAGS_MAX:,} tags")
    for start in starts:
        tag, count = number(start, 2), number(start + 4, 4)
        if tag in _STRIP_TAGS and count > TIFF_STRIPS_MAX:
            raise _too_costly(f"{count:,} strips")


def webp_size(data: bytes) -> tuple[int, int]:
    """The canvas size of a WebP, from its first chunk (RFC 9649, sections 2.5 to 2.7)."""
    match data[12:16]:
        case b"VP8X":
            width = 1 + int.from_bytes(data[24:27], "little")
            height = 1 + int.from_bytes(data[27:30], "little")
        case b"VP8L":
            bits = int.from_bytes(data[21:25], "little")
            width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case _:
            width = int.from_bytes(data[26:28], "little") & 0x3FFF
            height = int.from_bytes(data[28:30], "little") & 0x3FFF
    return width, height


def _check_webp(data: bytes, pixels_max: int) -> None:
    width, height = webp_size(data)
    if width * height > pixels_max:
        raise too_many_pixels(width, height, pixels_max)
    announced = 8 + int.from_bytes(data[4:8], "little")
    if announced > len(data):
        raise DecodeFailure(
            FailureCode.TRUNCATED_IMAGE,
            f"Expected a WebP of {announced:,} bytes, found {len(data):,}. Upload it again.",
        )


def _u16(data: bytes, position: int) -> int:
    return int.from_bytes(data[position : position + 2], "big")


def _too_costly(found: str) -> DecodeFailure:
    return DecodeFailure(
        FailureCode.TOO_COSTLY_IMAGE,
        f"Expected a picture as cameras and editors write it, found one with {found}. "
        "Export the picture again.",
    )
