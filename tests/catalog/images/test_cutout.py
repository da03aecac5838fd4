import cv2
import numpy as np
import pytest

from catalog.images.cutout import cut_out, large_parts

GARMENT = (slice(30, 90), slice(20, 60))


def photo(background: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    picture = background.copy()
    picture[GARMENT] = colour
    return picture


def plain(colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((112, 84, 3), colour, np.uint8)


def blanket() -> np.ndarray:
    """A background of many colours, as a bed at home."""
    noise = np.random.default_rng(0).normal(0, 1, (112, 84, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 2)
    return np.clip(150 + 120 * soft, 60, 230).astype(np.uint8)


def overlap(mask: np.ndarray) -> float:
    """Intersection over union with the garment that was drawn."""
    drawn = np.zeros_like(mask)
    drawn[GARMENT] = True
    return float((mask & drawn).sum() / (mask | drawn).sum())


@pytest.mark.parametrize(
    ("background", "colour"),
    [
        ((255, 255, 255), (30, 30, 30)),
        ((255, 255, 255), (232, 232, 236)),
        ((245, 240, 238), (120, 60, 60)),
        ((0, 0, 0), (200, 200, 200)),
        ((120, 160, 120), (160, 120, 160)),
    ],
)
def test_plain_background_is_told_apart_by_its_colour(
    background: tuple[int, int, int], colour: tuple[int, int, int]
) -> None:
    found = cut_out(photo(plain(background), colour))
    assert found.plain
    assert not found.failed
    assert overlap(found.mask) > 0.9


def test_busy_background_is_left_out() -> None:
    found = cut_out(photo(blanket(), (20, 20, 120)))
    assert not found.plain
    assert not found.failed
    assert overlap(found.mask) > 0.75


def test_trousers_cut_off_below_leave_the_background_plain() -> None:
    picture = plain((255, 255, 255))
    picture[40:, 20:64] = (40, 40, 90)
    assert cut_out(picture).plain


def test_price_tag_is_no_part_of_the_garment() -> None:
    picture = photo(plain((255, 255, 255)), (30, 30, 30))
    picture[5:9, 5:12] = (200, 0, 0)
    assert not cut_out(picture).mask[5:9, 5:12].any()


@pytest.mark.parametrize("size", [(112, 84), (1, 112), (112, 1), (29, 29), (3, 3)])
def test_picture_of_one_colour_is_a_failed_cut_out_of_the_whole(size: tuple[int, int]) -> None:
    found = cut_out(np.full((*size, 3), 200, np.uint8))
    assert found.failed
    assert found.mask.all()


def test_empty_mask_has_no_parts() -> None:
    assert not large_parts(np.zeros((5, 5), bool)).any()
