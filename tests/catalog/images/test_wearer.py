"""Figures drawn in code: a head, bare arms, an upper and a lower garment, on white."""

import cv2
import numpy as np

from catalog.images.cutout import cut_out
from catalog.images.wearer import without_wearer

SKIN, HAIR = (205, 150, 125), (40, 30, 25)
RED, NAVY = (190, 30, 40), (25, 30, 80)


def figure(top: tuple[int, int, int], bottom: tuple[int, int, int]) -> np.ndarray:
    """uint8 (112, 84, 3): head in rows 4-27, top in rows 28-83, bottom below."""
    picture = np.full((112, 84, 3), 255, np.uint8)
    cv2.circle(picture, (42, 13), 9, HAIR, -1)
    cv2.circle(picture, (42, 16), 8, SKIN, -1)
    cv2.rectangle(picture, (38, 22), (46, 29), SKIN, -1)
    cv2.rectangle(picture, (24, 28), (60, 83), top, -1)
    cv2.rectangle(picture, (14, 28), (22, 45), top, -1)  # sleeves
    cv2.rectangle(picture, (62, 28), (70, 45), top, -1)
    cv2.rectangle(picture, (22, 30), (24, 44), top, -1)
    cv2.rectangle(picture, (60, 30), (62, 44), top, -1)
    cv2.rectangle(picture, (15, 46), (21, 80), SKIN, -1)  # arms
    cv2.rectangle(picture, (63, 46), (69, 80), SKIN, -1)
    cv2.rectangle(picture, (26, 84), (58, 111), bottom, -1)
    return picture


def kept(picture: np.ndarray) -> np.ndarray:
    return without_wearer(picture, cut_out(picture))


def test_head_arms_and_lower_garment_do_not_decide() -> None:
    mask = kept(figure(RED, NAVY))
    assert not mask[:26].any()  # head
    assert not mask[50:78, 15:21].any()  # an arm
    assert not mask[88:].any()  # the other garment
    assert mask[32:80, 28:56].mean() > 0.95
    assert mask[32:42, 15:21].mean() > 0.8  # a sleeve


def test_lower_garment_is_kept_where_it_is_the_larger_one() -> None:
    picture = figure(RED, NAVY)[72:]
    larger = cv2.resize(picture, (84, 112), interpolation=cv2.INTER_NEAREST)
    mask = kept(larger)
    assert mask[60:, 30:54].mean() > 0.95
    assert not mask[:28, 28:56].any()


def test_white_shirt_above_dark_trousers_is_what_is_for_sale() -> None:
    mask = kept(figure((243, 243, 245), NAVY))
    assert mask[34:80, 28:56].mean() > 0.95
    assert not mask[88:].any()


def test_trousers_alike_in_colour_are_left_out_where_the_wearer_is_cut_off() -> None:
    mask = kept(figure((60, 60, 70), (105, 105, 118)))
    assert mask[32:80, 28:56].mean() > 0.95
    assert not mask[88:].any()


def test_white_stripes_of_a_top_on_white_are_part_of_it() -> None:
    picture = figure(RED, NAVY)
    picture[44:52, 24:61] = 255
    picture[64:72, 24:61] = 255
    assert kept(picture)[34:78, 28:56].mean() > 0.95


def test_dress_of_one_colour_is_kept_whole() -> None:
    mask = kept(figure(NAVY, NAVY))
    assert mask[32:110, 28:56].mean() > 0.95


def test_print_in_the_colour_of_skin_stays_part_of_the_garment() -> None:
    picture = figure(RED, NAVY)
    cv2.circle(picture, (42, 55), 8, SKIN, -1)
    assert kept(picture)[50:60, 38:46].all()


def test_garment_without_a_wearer_is_left_as_it_is() -> None:
    picture = np.full((112, 84, 3), 255, np.uint8)
    cv2.rectangle(picture, (14, 20), (70, 95), (205, 170, 140), -1)
    found = cut_out(picture)
    np.testing.assert_array_equal(without_wearer(picture, found), found.mask)


def test_straps_in_the_colour_of_skin_are_no_head() -> None:
    picture = np.full((112, 84, 3), 255, np.uint8)
    cv2.rectangle(picture, (30, 10), (33, 35), SKIN, -1)
    cv2.rectangle(picture, (50, 10), (53, 35), SKIN, -1)
    cv2.rectangle(picture, (14, 36), (70, 100), SKIN, -1)
    found = cut_out(picture)
    np.testing.assert_array_equal(without_wearer(picture, found), found.mask)


def test_shoe_of_two_colours_is_no_garment_above_another() -> None:
    picture = np.full((84, 112, 3), 255, np.uint8)
    cv2.rectangle(picture, (10, 40), (100, 60), NAVY, -1)
    cv2.rectangle(picture, (10, 61), (100, 74), RED, -1)
    cv2.rectangle(picture, (10, 25), (40, 40), NAVY, -1)
    found = cut_out(picture)
    np.testing.assert_array_equal(without_wearer(picture, found), found.mask)
