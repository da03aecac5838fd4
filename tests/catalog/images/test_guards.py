"""Files built to cost minutes are refused in a moment; unusual honest ones are not."""

import struct
import time

import pytest
from PIL import Image

from catalog.failures import DecodeFailure, FailureCode
from catalog.images.decode import DecodeLimits, decode
from tests.catalog.images import pictures

SCAN = b"\xff\xda"


# CPU time, whatever else the machine does; decoding these files would take minutes of it.
QUICKLY_CPU_S = 2.0


def refused_quickly(data: bytes) -> FailureCode:
    started = time.thread_time()
    with pytest.raises(DecodeFailure) as caught:
        decode(data, size_px_min=128)
    assert time.thread_time() - started < QUICKLY_CPU_S
    return caught.value.code


def _after_first_segment(data: bytes, insert: bytes) -> bytes:
    return data[:20] + insert + data[20:]


@pytest.mark.parametrize(
    "junk",
    [b"\xff\xe1\x00\x09Exif\0\0a", b"\xff\xfe\x00\x02", b"\xff", b"\x00", b"\xff\x00", b"\xff\x01"],
    ids=["exif", "comment", "fill", "zero", "stuffed", "marker"],
)
def test_a_jpeg_of_a_million_segments_is_too_costly(junk: bytes) -> None:
    data = _after_first_segment(pictures.jpeg(), junk * (20_000_000 // len(junk)))
    assert refused_quickly(data) is FailureCode.TOO_COSTLY_IMAGE


def test_a_progressive_jpeg_with_ten_thousand_scans_is_too_costly() -> None:
    data = pictures.jpeg(3000, 3000, progressive=True)
    last = data.rindex(SCAN)
    bomb = data[:-2] + data[last:-2] * 10_000 + data[-2:]
    assert refused_quickly(bomb) is FailureCode.TOO_COSTLY_IMAGE


def test_an_end_marker_inside_a_comment_hides_no_scans() -> None:
    data = pictures.jpeg(3000, 3000, progressive=True)
    last = data.rindex(SCAN)
    hidden = b"\xff\xfe\x00\x04\xff\xd9"
    bomb = data[:-2] + hidden + data[last:-2] * 10_000 + data[-2:]
    assert refused_quickly(bomb) is FailureCode.TOO_COSTLY_IMAGE


@pytest.mark.parametrize("progressive", [False, True])
def test_a_film_appended_to_a_photo_is_not_mistaken_for_scans(progressive: bool) -> None:
    data = pictures.jpeg(600, 800, progressive=progressive) + SCAN * 50_000
    image = decode(data, size_px_min=128, limits=DecodeLimits(pixels_max=480_000))
    assert image.width_px == 600


def test_a_photo_with_a_large_colour_profile_is_read() -> None:
    data = pictures.jpeg(icc_profile=bytes(3_000_000))
    assert decode(data, size_px_min=128).width_px == 96


def test_a_png_of_a_million_chunks_is_too_costly() -> None:
    data = pictures.encode(pictures.quarters(), "PNG")
    bomb = data[:33] + pictures.png_chunk(b"abCd") * 1_000_000 + data[33:]
    assert refused_quickly(bomb) is FailureCode.TOO_COSTLY_IMAGE


@pytest.mark.parametrize(
    "junk",
    [b"\x00", b"\x21\xfe\x01a\x00", b"\x21\xf9\x04\0\0\0\0\0"],
    ids=["junk", "text", "delay"],
)
def test_a_gif_of_a_million_blocks_is_too_costly(junk: bytes) -> None:
    data = pictures.encode(pictures.quarters(), "GIF")
    start = 13 + (3 << (data[10] & 7) + 1)
    bomb = data[:start] + junk * (10_000_000 // len(junk)) + data[start:]
    assert refused_quickly(bomb) is FailureCode.TOO_COSTLY_IMAGE


def test_a_tiff_of_a_million_strips_is_too_costly() -> None:
    data = bytearray(pictures.encode(pictures.quarters(), "TIFF"))
    entry = data.index(struct.pack("<HH", 273, 4))
    offsets = len(data)
    data[entry + 4 : entry + 12] = struct.pack("<LL", 1_000_000, offsets)
    assert refused_quickly(bytes(data) + bytes(4_000_000)) is FailureCode.TOO_COSTLY_IMAGE


def test_a_tiff_of_thousands_of_tags_is_too_costly() -> None:
    tags = b"".join(struct.pack("<HHLL", 40_000 + n, 3, 1, 7) for n in range(5_000))
    data = b"II*\0" + struct.pack("<LH", 8, 5_000) + tags + bytes(4)
    assert refused_quickly(data) is FailureCode.TOO_COSTLY_IMAGE


def test_a_run_length_bmp_is_refused_because_its_decoder_is_slow() -> None:
    data = bytearray(pictures.encode(Image.new("P", (64, 64)), "BMP"))
    data[30:34] = struct.pack("<L", 1)
    assert refused_quickly(bytes(data)) is FailureCode.UNSUPPORTED_FORMAT


@pytest.mark.parametrize(
    "first_chunk",
    [
        b"VP8X" + struct.pack("<L", 10) + bytes(4) + b"\xff\x3f\x00\xff\x3f\x00",
        b"VP8L" + struct.pack("<L", 10) + b"\x2f\xff\xff\xff\x0f" + bytes(8),
        b"VP8 " + struct.pack("<L", 20) + bytes(3) + b"\x9d\x01\x2a\xff\x3f\xff\x3f" + bytes(9),
    ],
    ids=["extended", "lossless", "lossy"],
)
def test_a_webp_is_refused_by_its_header_before_its_decoder_allocates(first_chunk: bytes) -> None:
    data = b"RIFF" + struct.pack("<L", 4 + len(first_chunk)) + b"WEBP" + first_chunk
    assert refused_quickly(data) is FailureCode.TOO_MANY_PIXELS
