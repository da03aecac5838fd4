"""Every kind of picture a shop sends: the right pixels, or the right reason."""

import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from catalog.failures import DecodeFailure, FailureCode
from catalog.images.decode import DecodedImage, DecodeLimits, decode
from catalog.images.formats import ImageFormat
from tests.catalog.images import pictures
from tests.catalog.images.pictures import BLUE, GREEN, QUARTERS, RED, WHITE, close, corners

SIZE_PX = 128


def decoded(data: bytes) -> DecodedImage:
    return decode(data, size_px_min=SIZE_PX)


def refused(data: bytes, limits: DecodeLimits | None = None) -> DecodeFailure:
    with pytest.raises(DecodeFailure) as caught:
        decode(data, size_px_min=SIZE_PX, limits=limits)
    assert caught.value.detail.endswith(".")
    return caught.value


@pytest.mark.parametrize(
    ("image_format", "options"),
    [
        ("JPEG", {"quality": 95}),
        ("JPEG", {"quality": 95, "progressive": True}),
        ("PNG", {}),
        ("WebP", {"quality": 95}),
        ("WebP", {"lossless": True}),
        ("GIF", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
        ("TIFF", {"compression": "packbits"}),
        ("TIFF", {"compression": "jpeg", "quality": 95}),
        ("AVIF", {"quality": 95}),
    ],
    ids=str,
)
def test_every_allowed_format_gives_the_picture(
    image_format: str, options: dict[str, object]
) -> None:
    data = pictures.encode(pictures.quarters(), image_format, **options)
    image = decoded(data)
    assert image.format is ImageFormat(image_format)
    assert (image.width_px, image.height_px) == (96, 128)
    assert image.pixels.shape == (128, 96, 3)
    assert image.pixels.dtype == np.uint8
    assert close(corners(image.pixels), list(QUARTERS))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I;16"])
def test_every_pixel_mode_becomes_rgb(mode: str) -> None:
    grey = np.full((40, 30), 255, np.uint8)
    grey[:20] = 0
    if mode == "I;16":
        image = Image.fromarray(grey.astype(np.uint16) * 257)
    else:
        image = Image.fromarray(grey).convert("RGB").convert(mode)
    data = pictures.encode(image, "TIFF" if mode == "CMYK" else "PNG")
    pixels = decoded(data).pixels
    assert pixels.shape == (40, 30, 3)
    assert pixels[5, 5].max() <= 2
    assert pixels[35, 25].min() >= 253


def test_a_16_bit_grey_is_scaled_not_clipped() -> None:
    image = Image.fromarray(np.full((8, 8), 0x8000, np.uint16))
    assert decoded(pictures.encode(image, "PNG")).pixels[0, 0].tolist() == [128, 128, 128]


def test_a_cmyk_jpeg_has_its_colours_and_not_their_negative() -> None:
    data = pictures.encode(pictures.quarters().convert("CMYK"), "JPEG", quality=95)
    assert close(corners(decoded(data).pixels), list(QUARTERS), by=20)


def test_transparency_is_laid_over_white() -> None:
    image = pictures.quarters().convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 48, 64))
    for image_format in ("PNG", "WebP", "AVIF", "TIFF"):
        data = pictures.encode(image, image_format)
        assert close(corners(decoded(data).pixels)[:1], [(255, 255, 255)]), image_format


@pytest.mark.parametrize("image_format", ["PNG", "GIF"])
def test_a_transparent_palette_entry_is_white(image_format: str) -> None:
    image = Image.new("P", (40, 40), 0)
    image.putpalette([0, 0, 0, *RED])
    image.paste(1, (20, 0, 40, 40))
    data = pictures.encode(image, image_format, transparency=0)
    pixels = decoded(data).pixels
    assert pixels[20, 5].tolist() == [255, 255, 255]
    assert pixels[20, 35].tolist() == list(RED)


@pytest.mark.parametrize("image_format", ["GIF", "WebP", "PNG", "AVIF"])
def test_an_animation_gives_its_first_frame(image_format: str) -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in (RED, GREEN, BLUE)]
    options = {} if image_format in ("GIF", "PNG") else {"quality": 95}
    data = pictures.encode(
        frames[0], image_format, save_all=True, append_images=frames[1:], duration=50, **options
    )
    assert close([tuple(decoded(data).pixels[20, 20].tolist())], [RED])


def _turned(orientation: int) -> list[tuple[int, ...]]:
    """The quarters as a viewer shows them for each orientation of the EXIF standard."""
    r, g, b, w = RED, GREEN, BLUE, WHITE
    return {
        1: [r, g, b, w],
        2: [g, r, w, b],
        3: [w, b, g, r],
        4: [b, w, r, g],
        5: [r, b, g, w],
        6: [b, r, w, g],
        7: [w, g, b, r],
        8: [g, w, r, b],
    }[orientation]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_stands_upright_even_with_a_broken_tag_beside_its_orientation(
    orientation: int, order: str
) -> None:
    image = decoded(pictures.jpeg(exif=pictures.exif(orientation, order)))
    assert close(corners(image.pixels), _turned(orientation))
    size = (128, 96) if orientation >= 5 else (96, 128)
    assert (image.width_px, image.height_px) == size
    assert image.pixels.shape[:2] == size[::-1]


@pytest.mark.parametrize("image_format", ["PNG", "WebP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_other_formats_with_an_orientation_stand_upright_too(
    image_format: str, orientation: int
) -> None:
    tags = Image.Exif()
    tags[0x0112] = orientation
    image = decoded(pictures.encode(pictures.quarters(), image_format, exif=tags))
    assert close(corners(image.pixels), _turned(orientation), by=25)
    assert (image.width_px, image.height_px) == ((96, 128) if orientation == 3 else (128, 96))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_a_nonsense_orientation_means_upright(orientation: int) -> None:
    image = decoded(pictures.jpeg(exif=pictures.exif(orientation)))
    assert close(corners(image.pixels), list(QUARTERS))


@given(st.binary(max_size=80))
def test_no_exif_block_keeps_a_good_photo_from_being_read(noise: bytes) -> None:
    data = pictures.jpeg(exif=b"Exif\0\0II*\0" + noise)
    assert decoded(data).format is ImageFormat.JPEG


def test_one_pixel_is_a_picture() -> None:
    image = decoded(pictures.encode(Image.new("RGB", (1, 1), RED), "PNG"))
    assert image.pixels.tolist() == [[list(RED)]]


@given(
    st.integers(1, 700),
    st.integers(1, 700),
    st.integers(1, 300),
    st.sampled_from(["JPEG", "PNG"]),
)
def test_the_longest_edge_keeps_what_was_asked_for(
    width: int, height: int, size_px: int, image_format: str
) -> None:
    data = pictures.encode(Image.new("RGB", (width, height), GREEN), image_format)
    image = decode(data, size_px_min=size_px)
    longest = max(image.pixels.shape[:2])
    assert longest >= min(size_px, max(width, height))
    assert longest < 2 * size_px or longest == max(width, height)
    assert (image.width_px, image.height_px) == (width, height)


def test_a_large_jpeg_is_reduced_while_it_is_decoded() -> None:
    image = decoded(pictures.jpeg(1000, 1333))
    assert image.pixels.shape == (167, 125, 3)
    assert close(corners(image.pixels), list(QUARTERS))


def test_a_png_and_a_jpeg_of_one_picture_look_the_same() -> None:
    ramp = np.linspace(0, 255, 800, dtype=np.uint8)
    image = Image.fromarray(np.dstack([np.tile(ramp, (600, 1))] * 3))
    as_png = decoded(pictures.encode(image, "PNG")).pixels
    as_jpeg = decoded(pictures.encode(image, "JPEG", quality=95)).pixels
    small = Image.fromarray(as_jpeg).resize(as_png.shape[1::-1])
    assert np.abs(np.asarray(small, np.int16) - as_png).mean() < 2


@pytest.mark.parametrize(
    ("data", "code", "said"),
    [
        (b"", FailureCode.EMPTY_FILE, "0 bytes"),
        (b"this is no picture\n", FailureCode.NOT_AN_IMAGE, "text"),
        (b"<!DOCTYPE html><html>404", FailureCode.NOT_AN_IMAGE, "web page"),
        (b"%PDF-1.7 ...", FailureCode.NOT_AN_IMAGE, "PDF"),
        (b"PK\x03\x04....", FailureCode.NOT_AN_IMAGE, "ZIP"),
        (bytes(range(128, 160)), FailureCode.NOT_AN_IMAGE, "80 81"),
        (pictures.iso_media(b"isom", b"mp42"), FailureCode.NOT_AN_IMAGE, "video"),
        (pictures.iso_media(b"heic", b"mif1"), FailureCode.UNSUPPORTED_FORMAT, "HEIC"),
        (pictures.iso_media(b"mif1", b"heic"), FailureCode.UNSUPPORTED_FORMAT, "HEIC"),
        (b'<?xml version="1.0"?><svg>', FailureCode.UNSUPPORTED_FORMAT, "SVG"),
        (b"8BPS\0\x01", FailureCode.UNSUPPORTED_FORMAT, "Photoshop"),
        (b"\xff\x0a", FailureCode.UNSUPPORTED_FORMAT, "JPEG XL"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_what_is_no_supported_picture_is_named(data: bytes, code: FailureCode, said: str) -> None:
    failure = refused(data)
    assert failure.code is code
    assert said in failure.detail


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WebP", "GIF", "BMP", "TIFF", "AVIF"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_half_a_file_is_refused_and_not_half_shown(image_format: str, share: float) -> None:
    noise = np.random.default_rng(7).integers(0, 255, (90, 80, 3), np.uint8)
    data = pictures.encode(Image.fromarray(noise), image_format)
    failure = refused(data[: int(len(data) * share)])
    assert failure.code in (FailureCode.TRUNCATED_IMAGE, FailureCode.CORRUPT_IMAGE)
    if image_format in ("JPEG", "PNG", "WebP"):
        assert failure.code is FailureCode.TRUNCATED_IMAGE


def test_a_damaged_png_is_corrupt() -> None:
    data = bytearray(pictures.encode(pictures.quarters(), "PNG"))
    data[45] ^= 0xFF
    assert refused(bytes(data)).code is FailureCode.CORRUPT_IMAGE


def test_the_content_decides_and_not_the_name() -> None:
    assert decoded(pictures.encode(pictures.quarters(), "PNG")).format is ImageFormat.PNG


def test_a_png_of_900_million_pixels_is_refused_by_its_header() -> None:
    # There is nothing but the header: whoever went on to decode would find it cut short.
    failure = refused(pictures.png_header(30_000, 30_000))
    assert failure.code is FailureCode.TOO_MANY_PIXELS
    assert "30,000×30,000" in failure.detail


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WebP", "GIF", "BMP", "TIFF", "AVIF"])
def test_the_pixel_limit_holds_for_every_format(image_format: str) -> None:
    data = pictures.encode(pictures.quarters(100, 101), image_format)
    limits = DecodeLimits(pixels_max=10_000)
    assert refused(data, limits).code is FailureCode.TOO_MANY_PIXELS
    assert decode(data, size_px_min=8, limits=DecodeLimits(pixels_max=10_100)).width_px == 100


def test_the_byte_limit_holds() -> None:
    data = pictures.jpeg()
    assert decode(data, size_px_min=8, limits=DecodeLimits(bytes_max=len(data))).width_px == 96
    failure = refused(data, DecodeLimits(bytes_max=len(data) - 1))
    assert failure.code is FailureCode.TOO_MANY_BYTES


@pytest.mark.parametrize(
    ("image", "image_format", "options"),
    [
        (Image.new("F", (8, 8)), "TIFF", {}),
        (Image.new("LAB", (8, 8)), "TIFF", {}),
        (Image.new("1", (8, 8)), "TIFF", {"compression": "group4"}),
    ],
    ids=["float", "LAB", "fax"],
)
def test_rare_kinds_of_tiff_are_refused_with_a_way_out(
    image: Image.Image, image_format: str, options: dict[str, str]
) -> None:
    failure = refused(pictures.encode(image, image_format, **options))
    assert failure.code is FailureCode.UNSUPPORTED_FORMAT
    assert "JPEG" in failure.detail


def test_many_threads_decode_what_one_thread_decodes() -> None:
    files = [pictures.jpeg(200 + n, 300, exif=pictures.exif(1 + n % 8)) for n in range(24)]
    files += [pictures.encode(pictures.quarters(200 + n), "PNG") for n in range(24)]
    alone = [decoded(data).pixels for data in files]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda data: decoded(data).pixels, files * 4))
    assert all(np.array_equal(pixels, alone[n % len(files)]) for n, pixels in enumerate(together))


# VmHWM and not ru_maxrss, which a child inherits from its parent.
_LARGE_PICTURES = """
import io
from concurrent.futures import ThreadPoolExecutor
from PIL import Image
from catalog.images.decode import decode
from catalog.images.memory import give_large_blocks_back

def peak_mb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) // 1024

assert give_large_blocks_back()
buffer = io.BytesIO()
Image.new("P", (4000, 4000)).save(buffer, "PNG", transparency=0)
small = io.BytesIO()
Image.new("P", (8, 8)).save(small, "PNG", transparency=0)
decode(small.getvalue(), size_px_min=128)
before = peak_mb()
with ThreadPoolExecutor(6) as pool:
    list(pool.map(lambda _: decode(buffer.getvalue(), size_px_min=128), range(6)))
print(peak_mb() - before)
"""


def test_threads_do_not_add_up_the_memory_of_large_pictures() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LARGE_PICTURES], capture_output=True, text=True, check=True
    )
    # One takes some 125 MB, six at once take 800.
    assert int(done.stdout) < 250


# A TIFF whose description announces more bytes than the file has: Pillow warns and goes on.
_WARNING_TIFF = """
import io, struct, sys, threading, warnings
from PIL import Image
from catalog.failures import DecodeFailure, FailureCode
from catalog.images.decode import decode

def tiff():
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "TIFF", description="x" * 40)
    data = bytearray(buffer.getvalue())
    at = data.index(struct.pack("<HH", 270, 2)) + 4
    data[at:at + 4] = struct.pack("<L", 10_000_000)
    return bytes(data)

codes = []
def work():
    for _ in range(20):
        try:
            decode(tiff(), size_px_min=8)
        except DecodeFailure as failure:
            codes.append(failure.code)

threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(codes) == 80, len(codes)
warnings.warn("somebody else's warning")
print(len(warnings.filters))
"""


def test_warnings_of_pillow_are_errors_in_all_threads_and_others_stay_warnings() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WARNING_TIFF], capture_output=True, text=True, check=True
    )
    assert "somebody else's warning" in done.stderr
    assert "PIL" not in done.stderr


def test_decoding_adds_one_filter_and_no_more() -> None:
    with warnings.catch_warnings():
        for _ in range(3):
            decoded(pictures.jpeg())
        ours = [rule for rule in warnings.filters if getattr(rule[3], "pattern", "") == r"PIL\."]
        assert len(ours) == 1
