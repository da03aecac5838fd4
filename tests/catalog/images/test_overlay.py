import cv2
import numpy as np
import pytest

from catalog.images.model_input import Square
from catalog.images.overlay import HEAT_SHARE, crop, encode_jpeg, grad_cam, overlay


def test_heat_map_is_the_positive_part_scaled_to_one() -> None:
    heat = grad_cam(np.array([[-2.0, 1.0], [4.0, 0.0]]))
    np.testing.assert_allclose(heat, [[0, 0.25], [1, 0]])
    assert heat.dtype == np.float32


def test_map_without_a_positive_value_stays_zero() -> None:
    assert not grad_cam(np.full((7, 7), -1.0)).any()
    assert not grad_cam(np.zeros((7, 7))).any()


@pytest.mark.parametrize("side", [64, 256, 1000])
def test_crop_shows_exactly_the_square(side: int) -> None:
    photo = np.zeros((1200, 1100, 3), np.uint8)
    photo[100 : 100 + side, 50 : 50 + side // 2] = 255
    view = crop(photo, Square(left=50, top=100, side=side), 128)
    assert view.shape == (128, 128, 3)
    assert view[2:-2, 2:62].min() > 250
    assert view[2:-2, 66:-2].max() < 5


def test_crop_repeats_the_edge_beyond_the_photo() -> None:
    photo = np.full((100, 50, 3), 200, np.uint8)
    assert (crop(photo, Square(left=-25, top=0, side=100), 64) == 200).all()


def test_cold_places_keep_the_photo_and_hot_places_do_not() -> None:
    view = np.full((128, 128, 3), 120, np.uint8)
    heat = np.zeros((7, 7), np.float32)
    heat[5:, 5:] = 1
    shown = overlay(view, heat).astype(int)
    assert (shown[:40, :40] == 120).all()
    assert np.abs(shown[110:, 110:] - 120).mean() > 20


def test_jpeg_keeps_red_red() -> None:
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[:, :, 0] = 255
    bgr = cv2.imdecode(np.frombuffer(encode_jpeg(picture), np.uint8), cv2.IMREAD_COLOR)
    assert bgr[16, 16, 2] > 240
    assert bgr[16, 16, 0] < 15


@pytest.mark.parametrize("side", [1, 4, 7])
def test_heat_map_is_enlarged_as_opencv_does(side: int) -> None:
    heat = np.random.default_rng(0).random((side, side + 1), np.float32)
    view = np.full((96, 128, 3), 120, np.uint8)
    smooth = np.clip(cv2.resize(heat, (128, 96), interpolation=cv2.INTER_CUBIC), 0, 1)
    colours = cv2.applyColorMap((smooth * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    share = smooth * HEAT_SHARE
    wanted = cv2.blendLinear(view, colours[:, :, ::-1].copy(), 1 - share, share)
    # The last bit of a float may put a pixel into the next of 256 colours.
    assert np.abs(overlay(view, heat).astype(int) - wanted).max() <= 2


def test_crop_of_a_fine_pattern_shows_its_mean() -> None:
    photo = np.zeros((1201, 1001, 3), np.uint8)
    photo[::2, ::2] = photo[1::2, 1::2] = 200
    view = crop(photo, Square(left=0, top=100, side=1000), 128)
    assert np.abs(view[:, :-1].astype(int) - 100).max() <= 1
