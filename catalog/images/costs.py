"""What decoding a picture takes in memory, told from its header before any of it is taken.

The figures are upper bounds, measured with Pillow 13 and held by
tests/catalog/images/test_costs.py, which decodes the worst of every kind in a process of its own.
They count the file itself, twice what its parser copies of it, the decoder's own planes, Pillow's
picture (1, 2 or 4 bytes a pixel, whatever the file has) and the small RGB picture at the end.
"""

from PIL import Image, ImageFile, JpegImagePlugin, TiffImagePlugin

from catalog.images.formats import ImageFormat
from catalog.images.guards import is_buffered_jpeg, webp_size

# The file, and what parsers keep of it: comments and profiles in pieces and joined.
_FILE_COPIES = 3
# Rows, tables, entropy decoders, pieces being reduced, and what the allocator rounds up.
_BASE_BYTES = 24_000_000
# A reduced picture: Pillow's, a turned one, NumPy's. One that needs no reducing is converted as
# a whole: over RGBA, laid on white.
_REDUCED_BYTES_A_PIXEL = 12
_WHOLE_BYTES_A_PIXEL = 24
# Two canvases of libwebp (RGBA) and the frame as bytes; lossless ones have a plane of their own.
_WEBP_BYTES_A_PIXEL = 14
# 12 bits a sample, 4:4:4 and alpha take 8, the frame in RGBA 4, its bytes 4; dav1d some more.
_AVIF_BYTES_A_PIXEL = 18
# A picture in tiles is put together in planes of its own beside those of the tile.
_AVIF_GRID_BYTES_A_PIXEL = 26
# Compressed text (zTXt, iTXt) is expanded to so many bytes at most: Pillow's MAX_TEXT_MEMORY.
# Beyond, Pillow complains, and the picture is a corrupt_image.
_PNG_TEXT_BYTES = 64 * 1024 * 1024
_SAMPLES, _BITS, _ORIENTATION, _TILE_WIDTH, _TILE_LENGTH = 277, 258, 274, 322, 323


def webp_bytes(data: bytes, size_px_min: int) -> int:
    """The peak of a WebP, whose decoder allocates its canvases as soon as it is opened."""
    width, height = webp_size(data)
    pixels = width * height
    # Its bytes and Pillow's picture stay while that is reduced.
    return _peak(data, pixels * _WEBP_BYTES_A_PIXEL, 8 * pixels, (width, height), size_px_min)


def decoding_bytes(
    image: ImageFile.ImageFile,
    data: bytes,
    image_format: ImageFormat,
    size: tuple[int, int],
    size_px_min: int,
) -> int:
    """The peak of an opened picture that was not loaded yet.

    size: in the file; image.size is what a JPEG's decoder was told to reduce it to.
    """
    pixels = image.size[0] * image.size[1]
    held = picture = pixels * _bytes_a_pixel(image)
    match image_format:
        case ImageFormat.WEBP:
            return webp_bytes(data, size_px_min)
        case ImageFormat.JPEG:
            decoding = picture + _jpeg_coefficients(image, data, size)
        case ImageFormat.AVIF:
            # The item type of a picture that is cut into tiles stands in the boxes at the start.
            tiled = b"grid" in data[:65536]
            decoding = pixels * (_AVIF_GRID_BYTES_A_PIXEL if tiled else _AVIF_BYTES_A_PIXEL)
            held = 2 * picture
        case ImageFormat.TIFF:
            decoding = picture + _tiff_block(image, pixels) + _turned_tiff(image, picture)
        case ImageFormat.PNG:
            text = _PNG_TEXT_BYTES if b"zTXt" in data or b"iTXt" in data else 0
            decoding = held = picture + text
        case ImageFormat.GIF:
            decoding = held = picture + pixels  # what the frame leaves behind
        case ImageFormat.BMP:
            decoding = picture
    return _peak(data, decoding, held, image.size, size_px_min)


def _peak(data: bytes, decoding: int, held: int, size: tuple[int, int], size_px_min: int) -> int:
    """Decoding and reducing come one after the other; `held` is what both have."""
    factor = max(size) // size_px_min
    if factor < 2:
        reducing = size[0] * size[1] * _WHOLE_BYTES_A_PIXEL
    else:
        reducing = -(-size[0] // factor) * -(-size[1] // factor) * _REDUCED_BYTES_A_PIXEL
    return _BASE_BYTES + _FILE_COPIES * len(data) + max(decoding, held + reducing)


def _bytes_a_pixel(image: Image.Image) -> int:
    """What Pillow's picture takes: three channels take the room of four."""
    if image.mode in ("1", "L", "P"):
        return 1
    return 2 if image.mode.startswith("I;16") else 4


def _jpeg_coefficients(image: ImageFile.ImageFile, data: bytes, size: tuple[int, int]) -> int:
    """All coefficients of a JPEG of several scans, which are kept: two bytes each."""
    assert isinstance(image, JpegImagePlugin.JpegImageFile)
    width, height = size
    if not is_buffered_jpeg(data):
        return 0
    across: int = max(1, *(h for _, h, _, _ in image.layer))
    down: int = max(1, *(v for _, _, v, _ in image.layer))
    blocks: int = sum(h * v for _, h, v, _ in image.layer)
    units = -(-width // (8 * across)) * -(-height // (8 * down))
    return units * blocks * 64 * 2


def _tiff_block(image: ImageFile.ImageFile, pixels: int) -> int:
    """A strip, which may be the whole picture, or a tile, which may be larger than that."""
    assert isinstance(image, TiffImagePlugin.TiffImageFile)
    tags = image.tag_v2
    bits: int = max(tags.get(_BITS, (1,))) * tags.get(_SAMPLES, 1)
    tile: int = tags.get(_TILE_WIDTH, 0) * tags.get(_TILE_LENGTH, 0)
    return max(pixels, tile) * -(-bits // 8)


def _turned_tiff(image: ImageFile.ImageFile, picture: int) -> int:
    """The second picture of one that Pillow turns while its strip is still held."""
    assert isinstance(image, TiffImagePlugin.TiffImageFile)
    return 0 if image.tag_v2.get(_ORIENTATION, 1) == 1 else picture
