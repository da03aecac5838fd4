import numpy as np
import pytest

from catalog.images.photo_input import border_colour, photo_input

PAPER = (240, 230, 200)


def garment_on_paper(height: int, width: int) -> np.ndarray:
    photo = np.empty((height, width, 3), np.uint8)
    photo[:] = PAPER
    photo[height // 4 : -height // 4, width // 4 : -width // 4] = (200, 20, 30)
    return photo


@pytest.mark.parametrize(
    ("height", "width"), [(400, 300), (300, 400), (128, 128), (60, 40), (1, 50), (50, 1), (511, 3)]
)
def test_any_photo_becomes_a_square_of_the_wanted_side(height: int, width: int) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    found = photo_input(photo, 128)
    assert (found.pixels.shape, found.pixels.dtype) == ((128, 128, 3), np.uint8)


def test_the_whole_photo_is_in_the_middle_and_its_background_goes_on() -> None:
    pixels = photo_input(garment_on_paper(400, 200), 128).pixels
    red = np.argwhere(pixels[:, :, 1] < 100)
    assert red.min(axis=0) == pytest.approx((32, 48), abs=1)
    assert red.max(axis=0) == pytest.approx((95, 79), abs=1)
    np.testing.assert_array_equal(pixels[:, :32], np.broadcast_to(PAPER, (128, 32, 3)))
    np.testing.assert_array_equal(pixels[:, 96:], np.broadcast_to(PAPER, (128, 32, 3)))


def test_a_photo_of_the_very_side_is_left_as_it_is() -> None:
    photo = np.random.default_rng(1).integers(0, 256, (96, 96, 3), np.uint8)
    np.testing.assert_array_equal(photo_input(photo, 96).pixels, photo)


def test_fine_stripes_become_their_mean_and_no_false_pattern() -> None:
    photo = np.zeros((512, 512, 3), np.uint8)
    photo[:, ::2] = 200
    assert np.ptp(photo_input(photo, 128).pixels) <= 2


def test_the_square_says_where_in_the_photo_the_input_lies() -> None:
    square = photo_input(garment_on_paper(400, 200), 128).square
    assert (square.left, square.top, square.side) == (-100, 0, 400)


def test_what_is_cut_off_at_the_lower_edge_does_not_colour_the_background() -> None:
    photo = np.full((90, 60, 3), 250, np.uint8)
    photo[-20:] = 10
    assert border_colour(photo).tolist() == [250, 250, 250]


def test_the_same_photo_gives_the_same_input() -> None:
    photo = np.random.default_rng(2).integers(0, 256, (333, 222, 3), np.uint8)
    np.testing.assert_array_equal(photo_input(photo, 144).pixels, photo_input(photo, 144).pixels)
