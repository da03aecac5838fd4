"""Files as they come from strangers: some must fail with a reason, the odd ones must be tagged."""

import numpy as np
from PIL import Image

from tests.catalog.images.pictures import encode, exif, iso_media, jpeg, png_header, quarters

BAD_FILES = {
    "truncated.jpg": jpeg()[:-600],
    "text.jpg": b"This is no picture, whatever its name says.\n",
    "empty.jpg": b"",
    "bomb.png": png_header(30_000, 30_000),
    "photo.heic": iso_media(b"heic", b"mif1") + b"\0" * 200,
    "page.png": b"<!doctype html><title>404</title>",
}


def _deep() -> Image.Image:
    return Image.fromarray(np.linspace(0, 65535, 96 * 96).reshape(96, 96).astype(np.uint16))


def _transparent_palette() -> bytes:
    palette = quarters().convert("P", palette=Image.Palette.ADAPTIVE, colors=8)
    return encode(palette, "PNG", transparency=0)


def _animated() -> bytes:
    frames = [quarters().rotate(90 * n) for n in range(3)]
    return encode(frames[0], "GIF", save_all=True, append_images=frames[1:])


ODD_FILES = {
    "one-pixel.png": encode(Image.new("RGB", (1, 1), "red"), "PNG"),
    "16-bit.png": encode(_deep(), "PNG"),
    "cmyk.jpg": encode(quarters().convert("CMYK"), "JPEG"),
    "palette.png": _transparent_palette(),
    "animated.gif": _animated(),
    "rotated.jpg": jpeg(exif=exif(6)),
    "really-a-png.jpg": encode(quarters(), "PNG"),
    "long.png": encode(Image.new("RGB", (2000, 100), "gray"), "PNG"),
    "white.jpg": encode(Image.new("RGB", (300, 300), "white"), "JPEG"),
    "black.jpg": encode(Image.new("RGB", (300, 300), "black"), "JPEG"),
}
# Nothing to be seen on these: tagged, but for a person to look at.
POOR_FILES = {"one-pixel.png", "long.png", "white.jpg", "black.jpg"}
