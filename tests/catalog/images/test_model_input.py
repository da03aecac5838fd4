import cv2
import numpy as np
import pytest

from catalog.images.model_input import glance, model_input, why_unclear
from catalog.sample import SAMPLE


def on_white(garment: np.ndarray) -> np.ndarray:
    """A light-on-black image as a shop's photo, uint8 (H, W, 3)."""
    return cv2.cvtColor(255 - garment, cv2.COLOR_GRAY2RGB)


def sample_images() -> np.ndarray:
    with np.load(SAMPLE) as sample:
        return sample["images"]


def rectangle(
    height: int, width: int, box: tuple[int, int, int, int], paper: int, ink: int
) -> np.ndarray:
    photo = np.full((height, width, 3), paper, np.uint8)
    top, left, bottom, right = box
    photo[top:bottom, left:right] = ink
    return photo


def test_test_set_image_shown_on_white_becomes_itself_again() -> None:
    for image in sample_images()[::20]:
        np.testing.assert_array_equal(model_input(on_white(image)).pixels[:, :, 0], image)


def test_enlarged_test_set_image_is_recognisably_itself_again() -> None:
    """Sharpening, meant for photos, is laid over images that were sharpened before."""
    likeness = []
    for image in sample_images()[::20]:
        large = cv2.resize(on_white(image), (560, 560), interpolation=cv2.INTER_CUBIC)
        pixels = model_input(large).pixels[:, :, 0]
        likeness.append(np.corrcoef(pixels.ravel(), image.ravel())[0, 1])
    assert np.median(likeness) > 0.9


@pytest.mark.parametrize(("paper", "ink"), [(255, 40), (240, 40), (0, 220), (20, 220)])
def test_border_is_trimmed_and_garment_centred_on_black(paper: int, ink: int) -> None:
    photo = rectangle(400, 300, (50, 100, 330, 200), paper, ink)
    result = model_input(photo)
    seen = result.pixels[:, :, 0] > 100
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    assert (rows[0], rows[-1]) == (0, 27)
    assert (columns[0], columns[-1]) == (9, 18)
    assert result.pixels[0, 0, 0] == 0
    square = result.square
    # To a pixel or two of the small picture that the garment is cut out of.
    assert (square.left, square.top, square.side) == pytest.approx((10, 50, 280), abs=8)
    assert result.poor is None


def test_model_input_is_one_channel_uint8() -> None:
    pixels = model_input(rectangle(90, 60, (10, 10, 80, 50), 255, 0)).pixels
    assert (pixels.shape, pixels.dtype) == ((28, 28, 1), np.uint8)


@pytest.mark.parametrize(
    "shape", [(5000, 1), (1, 451), (1, 1), (1, 2000), (2000, 1), (29, 29), (27, 500)]
)
def test_any_shape_gives_an_image(shape: tuple[int, int]) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    assert model_input(photo).pixels.shape == (28, 28, 1)


def test_white_garment_on_white_stands_out_from_black() -> None:
    pixels = model_input(rectangle(400, 300, (50, 100, 330, 200), 255, 235)).pixels[:, :, 0]
    assert pixels[14, 14] >= 40
    assert pixels[14, 2] == 0


def test_same_photo_gives_the_same_input_every_time() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (300, 200, 3), np.uint8)
    busy = cv2.GaussianBlur(noise, (0, 0), 5)
    busy[100:220, 60:140] = (180, 30, 30)
    first = model_input(busy)
    assert first.mask is not None
    for _ in range(3):
        np.testing.assert_array_equal(model_input(busy).pixels, first.pixels)


@pytest.mark.parametrize("tone", [0, 127, 128, 255])
def test_blank_picture_is_called_poor(tone: int) -> None:
    result = model_input(np.full((200, 200, 3), tone, np.uint8))
    assert result.poor == "nothing stands out from the background"
    assert not result.pixels.any()


def test_tiny_picture_is_called_poor() -> None:
    assert model_input(rectangle(12, 9, (2, 2, 10, 7), 255, 0)).poor == (
        "the picture is only 9×12 pixels"
    )


def garment_photo() -> np.ndarray:
    image = sample_images()[0]
    large = cv2.resize(on_white(image), (420, 420), interpolation=cv2.INTER_CUBIC)
    return cv2.copyMakeBorder(large, 40, 40, 40, 40, cv2.BORDER_CONSTANT, value=(255, 255, 255))


def test_blurred_photo_is_called_poor() -> None:
    photo = np.full((500, 500, 3), 255, np.uint8)
    cv2.fillPoly(photo, [np.array([(120, 80), (380, 80), (330, 420), (170, 420)])], (40, 60, 90))
    assert model_input(photo).poor is None
    assert model_input(cv2.GaussianBlur(photo, (0, 0), 20)).poor == "the photo is blurred"


def test_several_items_beside_each_other_are_called_poor() -> None:
    two = np.hstack([garment_photo(), garment_photo()])
    assert model_input(garment_photo()).poor is None
    assert model_input(two).poor == "the photo shows 2 items"


def test_how_sharp_a_photo_is_is_told_once_for_both_networks() -> None:
    seen = glance(np.random.default_rng(0).integers(0, 255, (256, 200, 3)).astype(np.uint8))
    assert seen.working is not None
    assert "unclear" not in vars(seen)
    assert seen.unclear == why_unclear(seen.working)
    assert "unclear" in vars(seen)
