"""Pictures made in code: four coloured quarters, so that every turn and every codec shows."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Top left, top right, bottom left, bottom right.
RED, GREEN, BLUE, WHITE = (200, 30, 30), (30, 160, 40), (30, 40, 200), (250, 250, 250)
QUARTERS = (RED, GREEN, BLUE, WHITE)


def quarters(width: int = 96, height: int = 128) -> Image.Image:
    pixels = np.empty((height, width, 3), np.uint8)
    top, left = height // 2, width // 2
    pixels[:top, :left], pixels[:top, left:] = RED, GREEN
    pixels[top:, :left], pixels[top:, left:] = BLUE, WHITE
    return Image.fromarray(pixels)


def encode(image: Image.Image, image_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def jpeg(width: int = 96, height: int = 128, **options: Any) -> bytes:
    return encode(quarters(width, height), "JPEG", quality=95, **options)


def corners(pixels: NDArray[np.uint8]) -> list[tuple[int, ...]]:
    """The colour in the middle of each quarter."""
    height, width, _ = pixels.shape
    rows, columns = (height // 4, height * 3 // 4), (width // 4, width * 3 // 4)
    return [tuple(int(v) for v in pixels[y, x]) for y in rows for x in columns]


def close(found: list[tuple[int, ...]], wanted: list[tuple[int, ...]], by: int = 12) -> bool:
    return bool(np.abs(np.subtract(found, wanted)).max() <= by)


def exif(orientation: int, order: str = "<") -> bytes:
    """An EXIF block with one broken tag before the orientation, as careless editors leave it."""
    magic = b"II*\0" if order == "<" else b"MM\0*"
    broken = struct.pack(order + "HHLL", 0x010F, 2, 999_999, 0x7FFFFFFF)
    entry = struct.pack(order + "HHLHH", 0x0112, 3, 1, orientation, 0)
    directory = struct.pack(order + "H", 2) + broken + entry + struct.pack(order + "L", 0)
    return b"Exif\0\0" + magic + struct.pack(order + "L", 8) + directory


def png_chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_header(width: int, height: int) -> bytes:
    """A PNG of any size in 45 bytes: header, no pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT") + png_chunk(b"IEND")
    )


def iso_media(brand: bytes, *compatible: bytes) -> bytes:
    """The first box of a HEIC, AVIF or MP4 file, and some bytes after it."""
    body = brand + bytes(4) + b"".join(compatible)
    return struct.pack(">I", 8 + len(body)) + b"ftyp" + body + bytes(64)
