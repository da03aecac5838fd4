"""Which way up a picture is, by its EXIF block."""

from typing import Literal

from PIL import Image

ByteOrder = Literal["little", "big"]

UPRIGHT = 1
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = {5, 6, 7, 8}

_TAG = 0x0112
_ENTRY_BYTES = 12
_BYTE_ORDERS: dict[bytes, ByteOrder] = {b"II*\0": "little", b"MM\0*": "big"}


def exif_orientation(exif: bytes) -> int:
    """The orientation, 1-8, in an EXIF block; 1 where it is missing or nonsense.

    Reads this one entry of the first directory (TIFF 6.0, section 2) and nothing else: Pillow's
    parser reads every tag and gives up, or warns, over a broken one, while photos with one broken
    tag are common and still have to stand upright.
    """
    block = exif.removeprefix(b"Exif\0\0")
    order = _BYTE_ORDERS.get(block[:4])
    return UPRIGHT if order is None else _entry(block, order)


def _entry(block: bytes, order: ByteOrder) -> int:
    def number(start: int, size: int) -> int:
        return int.from_bytes(block[start : start + size], order)

    directory = number(4, 4)
    # Cameras write about 100 entries; a directory may announce 65,535. Behind 1,000 none is looked
    # at, and the picture is taken as upright.
    for index in range(min(number(directory, 2), 1_000)):
        start = directory + 2 + index * _ENTRY_BYTES
        if number(start, 2) == _TAG:
            orientation = number(start + 8, 2)
            return orientation if orientation in TURNS else UPRIGHT
    return UPRIGHT
