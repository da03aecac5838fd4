"""No picture that is let in takes more memory than was said beforehand, nor than the limit."""

import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from catalog.images.guards import is_buffered_jpeg
from catalog.images.memory import Room
from tests.catalog.images import pictures

LIMIT_BYTES = 300_000_000
# VmHWM and not ru_maxrss, which a child inherits from its parent.
DECODE = """
import sys
from pathlib import Path
from PIL import Image
from catalog.failures import DecodeFailure
from catalog.images import decode as module
from catalog.images.memory import Room, give_large_blocks_back

def memory(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(name))

class Told(Room):
    wanted = 0
    def take(self, wanted, *, of):
        Told.wanted = wanted
        return super().take(wanted, of=of)

module._room = Told()
give_large_blocks_back()
try:
    module.decode(Path(sys.argv[2]).read_bytes(), size_px_min=16)
except DecodeFailure as failure:
    sys.exit(str(failure))
before = memory("VmRSS")
try:
    module.decode(Path(sys.argv[1]).read_bytes(), size_px_min=int(sys.argv[3]))
except DecodeFailure as failure:
    Told.wanted = failure.code
print(Told.wanted, memory("VmHWM") - before)
"""


def colours(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """No pixel is zero, so that no page of memory stays untouched."""
    across, down = np.linspace(40, 200, width), np.linspace(40, 200, height)
    grey = Image.fromarray(((across[None, :] + down[:, None]) / 2).astype(np.uint8))
    if mode == "I;16":
        return Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    if mode == "P":
        return grey.convert("RGB").quantize(32, method=Image.Quantize.FASTOCTREE)
    image = grey.convert("RGB").convert(mode)
    if mode in ("RGBA", "LA"):
        image.putalpha(grey)
    return image


def encoded(image_format: str, mode: str, **options: object) -> Callable[[int, int], bytes]:
    def make(width: int, height: int) -> bytes:
        return pictures.encode(colours(width, height, mode), image_format, **options)

    return make


def animated(image_format: str, mode: str, **options: object) -> Callable[[int, int], bytes]:
    def make(width: int, height: int) -> bytes:
        first = colours(width, height, mode)
        second = first.transpose(Image.Transpose.ROTATE_180)
        return pictures.encode(
            first, image_format, save_all=True, append_images=[second], duration=50, **options
        )

    return make


def in_one_strip(mode: str, compression: str, orientation: int = 1) -> Callable[[int, int], bytes]:
    def make(width: int, height: int) -> bytes:
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[278], tags[274] = height, orientation
        return pictures.encode(
            colours(width, height, mode), "TIFF", compression=compression, tiffinfo=tags
        )

    return make


JPEG, WEBP, AVIF = {"quality": 60}, {"quality": 50, "method": 0}, {"quality": 40, "speed": 10}
LOSSLESS = {"lossless": True, "quality": 0, "method": 0}
FULL = {"subsampling": "4:4:4"}
KINDS: dict[str, Callable[[int, int], bytes]] = {
    "JPEG": encoded("JPEG", "RGB", **JPEG),
    "JPEG, CMYK": encoded("JPEG", "CMYK", **JPEG),
    "JPEG, progressive": encoded("JPEG", "RGB", **JPEG, progressive=True),
    "JPEG, progressive, 4:4:4": encoded("JPEG", "RGB", **JPEG, progressive=True, subsampling=0),
    "JPEG, progressive, CMYK": encoded("JPEG", "CMYK", **JPEG, progressive=True),
    "PNG": encoded("PNG", "RGB", compress_level=1),
    "PNG, transparent colour": encoded("PNG", "RGB", compress_level=1, transparency=(0, 0, 0)),
    "PNG, alpha": encoded("PNG", "RGBA", compress_level=1),
    "PNG, grey and alpha": encoded("PNG", "LA", compress_level=1),
    "PNG, palette": encoded("PNG", "P", compress_level=1, transparency=0),
    "PNG, 16 bits": encoded("PNG", "I;16", compress_level=1),
    "WebP": encoded("WebP", "RGB", **WEBP),
    "WebP, alpha": encoded("WebP", "RGBA", **WEBP),
    "WebP, lossless": encoded("WebP", "RGB", **LOSSLESS),
    "WebP, lossless, alpha": encoded("WebP", "RGBA", **LOSSLESS),
    "WebP, animated": animated("WebP", "RGBA", **WEBP),
    "WebP, animated, lossless": animated("WebP", "RGBA", **LOSSLESS),
    "AVIF": encoded("AVIF", "RGB", **AVIF),
    "AVIF, alpha, 4:4:4": encoded("AVIF", "RGBA", **AVIF, **FULL),
    "AVIF, animated": animated("AVIF", "RGBA", **AVIF, **FULL),
    "GIF": encoded("GIF", "P"),
    "GIF, animated": animated("GIF", "P", disposal=2, transparency=0),
    "BMP": encoded("BMP", "RGB"),
    "BMP, palette": encoded("BMP", "P"),
    "TIFF": encoded("TIFF", "RGB"),
    "TIFF, one strip": in_one_strip("RGB", "tiff_adobe_deflate"),
    "TIFF, one strip, turned": in_one_strip("RGBA", "tiff_adobe_deflate", 6),
    "TIFF, one strip, CMYK": in_one_strip("CMYK", "tiff_adobe_deflate", 6),
    "TIFF, one strip, 16 bits": in_one_strip("I;16", "tiff_adobe_deflate", 8),
    "TIFF, JPEG": in_one_strip("RGB", "jpeg"),
}
# The worst of each decoder, and about as many pixels as are let in.
WORST = {
    "JPEG, progressive, 4:4:4": (6_800, 6_000),
    "JPEG, progressive, CMYK": (5_700, 5_200),
    "PNG, alpha": (7_000, 7_000),
    "WebP, lossless, alpha": (4_400, 4_200),
    "AVIF, alpha, 4:4:4": (3_900, 3_700),
    "TIFF, one strip, turned": (4_700, 4_500),
}


def decoded_elsewhere(folder: Path, data: bytes, size_px: int, warm: bytes) -> tuple[str, int]:
    """What was said to be needed (or the failure's code), and the bytes really taken."""
    large, small = folder / "large", folder / "small"
    large.write_bytes(data)
    small.write_bytes(warm)
    done = subprocess.run(
        [sys.executable, "-c", DECODE, large, small, str(size_px)],
        capture_output=True,
        text=True,
        check=True,
    )
    wanted, taken = done.stdout.split()
    return wanted, int(taken)


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_takes_no_more_than_was_said(kind: str, tmp_path: Path) -> None:
    make = KINDS[kind]
    wanted, taken = decoded_elsewhere(tmp_path, make(3_000, 2_600), 256, make(60, 40))
    assert taken <= int(wanted) <= LIMIT_BYTES


@pytest.mark.parametrize("kind", WORST)
def test_the_largest_that_are_let_in_stay_below_the_limit(kind: str, tmp_path: Path) -> None:
    make = KINDS[kind]
    wanted, taken = decoded_elsewhere(tmp_path, make(*WORST[kind]), 256, make(60, 40))
    assert taken <= int(wanted) <= LIMIT_BYTES
    assert int(wanted) > 0.75 * LIMIT_BYTES


@pytest.mark.parametrize("kind", ["JPEG", "PNG, alpha", "WebP, alpha", "AVIF", "TIFF, JPEG"])
def test_nor_do_those_that_are_shown_larger(kind: str, tmp_path: Path) -> None:
    """As the review desk decodes: one that is reduced by less, and one that is not at all."""
    make = KINDS[kind]
    for size in ((4_000, 3_500), (2_190, 2_190)):
        wanted, taken = decoded_elsewhere(tmp_path, make(*size), 1_100, make(60, 40))
        assert taken <= int(wanted) <= LIMIT_BYTES


@pytest.mark.parametrize("kind", ["WebP, alpha", "AVIF, alpha, 4:4:4", "TIFF, one strip, CMYK"])
def test_larger_ones_are_refused_before_they_take_any(kind: str, tmp_path: Path) -> None:
    make = KINDS[kind]
    data = make(6_000, 4_500)
    code, taken = decoded_elsewhere(tmp_path, data, 256, make(60, 40))
    assert code == "too_many_pixels"
    assert taken < 20_000_000 + 2 * len(data)


def test_a_jpeg_of_several_scans_is_counted_whole_whether_it_is_progressive_or_not() -> None:
    plain = KINDS["JPEG"](60, 40)
    assert not is_buffered_jpeg(plain)
    assert is_buffered_jpeg(KINDS["JPEG, progressive"](60, 40))
    scan = plain.index(b"\xff\xda") + 4
    assert plain[scan] == 3
    assert is_buffered_jpeg(plain[:scan] + b"\x01" + plain[scan + 1 :])


def test_a_tile_larger_than_its_picture_is_counted(tmp_path: Path) -> None:
    """Eight by eight pixels in one tile of 400 million, which a few kilobytes of zeros fill."""
    edge = 20_000
    strip = zlib.compress(bytes(edge * edge), 9)
    entries = [
        (256, 4, 8), (257, 4, 8), (258, 3, 8), (259, 3, 8), (262, 3, 1), (277, 3, 1),
        (322, 4, edge), (323, 4, edge), (324, 4, 8 + 2 + 10 * 12 + 4), (325, 4, len(strip)),
    ]  # fmt: skip
    directory = struct.pack("<H", len(entries)) + b"".join(
        struct.pack("<HHLL", tag, kind, 1, value) for tag, kind, value in entries
    )
    data = b"II*\0" + struct.pack("<L", 8) + directory + bytes(4) + strip
    code, taken = decoded_elsewhere(tmp_path, data, 256, encoded("TIFF", "L")(60, 40))
    assert code == "too_many_pixels"
    assert taken < 20_000_000


def test_threads_share_the_room_and_a_large_one_is_not_passed_for_ever() -> None:
    room, order = Room(), list[str]()
    first, second = threading.Event(), threading.Event()

    def take(name: str, wanted: int, started: threading.Event) -> None:
        started.set()
        with room.take(wanted, of=100):
            order.append(name)

    with room.take(60, of=100):
        large = threading.Thread(target=take, args=("large", 90, first))
        large.start()
        first.wait()
        while room._turn.acquire(blocking=False):  # until the large one waits at the door
            room._turn.release()
        small = threading.Thread(target=take, args=("small", 10, second))
        small.start()
        second.wait()
        assert order == []
    large.join()
    small.join()
    assert order == ["large", "small"]


def test_what_is_larger_than_the_room_comes_in_alone() -> None:
    room = Room()
    with room.take(500, of=100):
        pass
    with room.take(100, of=100):
        pass
