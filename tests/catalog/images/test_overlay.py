import cv2
import numpy as np
import pytest

from catalog.images.model_input import Square
from catalog.images.overlay import crop, encode_jpeg, grad_cam, overlay


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
