"""Small sound pictures of every kind, made in code, and ways to break them."""

import io
import random
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

_INTERESTING = (0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF)
_SIZES = (0, 1, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
# First column, first row, column step and row step of each pass (PNG, section 8.2).
_ADAM7 = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)
_BYTES_MAX = 2_000_000
_MUTATIONS_MAX = 6


def make_corpus() -> tuple[bytes, ...]:
    """One small file for each way in which the allowed formats are commonly written."""
    photo = _photo(48, 64)
    grey, palette, alpha = photo.convert("L"), photo.convert("P"), photo.convert("RGBA")
    alpha.putalpha(grey)
    deep = Image.fromarray(np.asarray(grey, np.uint16) * 257)
    frames: dict[str, Any] = {"save_all": True, "append_images": [photo.rotate(90), photo]}
    tags = Image.Exif()
    tags[0x0112], tags[0x010F] = 6, "a maker of cameras"
    exif = tags.tobytes()
    written: tuple[tuple[Image.Image, str, dict[str, Any]], ...] = (
        (photo, "JPEG", {"quality": 90, "exif": exif}),
        (photo, "JPEG", {"progressive": True, "icc_profile": bytes(300), "comment": b"a comment"}),
        (photo, "JPEG", {"subsampling": 0, "restart_marker_rows": 1}),
        (grey, "JPEG", {"quality": 20, "optimize": True}),
        (photo.convert("CMYK"), "JPEG", {}),
        (_photo(400, 300), "JPEG", {"quality": 60}),
        (photo, "PNG", {"exif": exif, "icc_profile": bytes(300)}),
        (grey, "PNG", {"compress_level": 0}),
        (palette, "PNG", {"transparency": 3}),
        (alpha, "PNG", {}),
        (alpha.convert("LA"), "PNG", {}),
        (deep, "PNG", {}),
        (grey.convert("1"), "PNG", {}),
        (photo, "PNG", frames),
        (photo, "WEBP", {"quality": 80, "exif": exif}),
        (photo, "WEBP", {"lossless": True}),
        (alpha, "WEBP", {"quality": 50}),
        (photo, "WEBP", frames),
        (palette, "GIF", {"comment": b"a comment"}),
        (palette, "GIF", {"transparency": 3, "interlace": 1}),
        (photo, "GIF", frames),
        (photo, "BMP", {}),
        (palette, "BMP", {}),
        (grey.convert("1"), "BMP", {}),
        (alpha, "BMP", {}),
        (photo, "TIFF", {"exif": exif}),
        (photo, "TIFF", {"compression": "tiff_lzw"}),
        (alpha, "TIFF", {"compression": "tiff_adobe_deflate"}),
        (photo, "TIFF", {"compression": "jpeg"}),
        (palette, "TIFF", {"compression": "packbits"}),
        (deep, "TIFF", {}),
        (photo.convert("CMYK"), "TIFF", {}),
        (photo, "AVIF", {"quality": 60, "exif": exif}),
        (alpha, "AVIF", {"quality": 60}),
    )
    return (*(_encode(*each) for each in written), _interlaced_png())


def mutate(corpus: Sequence[bytes], seed: int, index: int) -> bytes:
    """The broken file number `index` of a seed: always the same bytes."""
    chance = random.Random(f"{seed}:{index}")  # noqa: S311 - to be repeated, not to be secret
    data = bytearray(chance.choice(corpus))
    for _ in range(chance.randint(1, _MUTATIONS_MAX)):
        chance.choice(_MUTATIONS)(data, chance, corpus)
        if not data:
            break
    return bytes(data[:_BYTES_MAX])


def _flip_bits(data: bytearray, chance: random.Random, corpus: Sequence[bytes]) -> None:
    for _ in range(chance.choice((1, 1, 2, 8, 64))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _set_bytes(data: bytearray, chance: random.Random, corpus: Sequence[bytes]) -> None:
    for _ in range(chance.choice((1, 1, 4))):
        data[chance.randrange(len(data))] = chance.choice(_INTERESTING)


def _set_header_byte(data: bytearray, chance: random.Random, corpus: Sequence[bytes]) -> None:
    data[chance.randrange(min(len(data), 64))] = chance.randrange(256)


def _set_size(data: bytearray, chance: random.Random, corpus: Sequence[bytes]) -> None:
    """Overwrite two or four bytes with a number at the edge of some type."""
    form = chance.choice(("<H", ">H", "<L", ">L"))
    value = chance.choice(_SIZES) & (0xFFFF if form[1] == "H" else 0xFFFFFFFF)
    start = chance.randrange(min(len(data), chance.choice((64, 512, len(data)))))
    data[start : start + struct.calcsize(form)] = struct.pack(form, value)


def _cut_off(data: bytearray, chance: random.Random, corpus: Sequence[bytes]) -> None:
    del data[chance.randrange(len(data)) :]


def _cut_out(data: bytearray, chance: random.Random, corpus: Sequence[bytes]) -> None:
    start = chance.randrange(len(data))
    del data[start : start + chance.choice((1, 4, 16, 256))]


def _repeat(data: bytearray, chance: random.Random, corpus: Sequence[bytes]) -> None:
    start = chance.randrange(len(data))
    block = data[start : start + chance.choice((1, 4, 12, 64, 512))]
    data[start:start] = block * chance.choice((1, 1, 3, 100, 1_000))


def _insert_noise(data: bytearray, chance: random.Random, corpus: Sequence[bytes]) -> None:
    start = chance.randrange(len(data))
    data[start:start] = chance.randbytes(chance.choice((1, 4, 16, 256)))


def _splice(data: bytearray, chance: random.Random, corpus: Sequence[bytes]) -> None:
    """Go on with a part of another file."""
    other = chance.choice(corpus)
    start = chance.randrange(len(other))
    data[chance.randrange(len(data)) :] = other[start:]


_MUTATIONS = (
    _flip_bits, _set_bytes, _set_header_byte, _set_size, _cut_off, _cut_out, _repeat,
    _insert_noise, _splice,
)  # fmt: skip


def _photo(width: int, height: int) -> Image.Image:
    """A smooth picture with some noise in it, as codecs expect."""
    noise = np.random.default_rng(1)
    ramp = np.linspace(0, 200, width)[None, :, None] + np.linspace(0, 40, height)[:, None, None]
    return Image.fromarray((ramp + noise.integers(0, 16, (height, width, 3))).astype(np.uint8))


def _encode(image: Image.Image, image_format: str, options: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def _interlaced_png() -> bytes:
    """A grey Adam7 PNG, which Pillow reads and does not write."""
    pixels = np.arange(35 * 21, dtype=np.uint8).reshape(35, 21)
    rows = b""
    for x, y, step_x, step_y in _ADAM7:
        rows += b"".join(b"\0" + row.tobytes() for row in pixels[y::step_y, x::step_x])
    header = struct.pack(">IIBBBBB", 21, 35, 8, 0, 0, 0, 1)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
