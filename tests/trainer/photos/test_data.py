import numpy as np
import pytest

from catalog.taxonomy.files import shipped
from tests.trainer.photos.pictures import TAXONOMY
from trainer.photos.data import folds_by_group, garment_mask, targets_of


def test_a_label_of_no_category_is_a_stranger_and_one_of_several_any_of_them() -> None:
    found = targets_of([("bar",), ("disc", "bar"), ("cross",)], TAXONOMY)
    assert found.astype(int).tolist() == [[0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 1]]


def test_a_label_may_be_a_name_an_alias_or_a_parent_of_the_taxonomy() -> None:
    taxonomy = shipped("fashion-mnist")
    found = targets_of([("Ankle boot",), ("jumper",), ("shoes",), ("Hat",)], taxonomy)
    named = [[(*taxonomy.ids, "?")[place] for place in np.flatnonzero(row)] for row in found]
    assert named == [["ankle-boot"], ["pullover"], ["sandal", "sneaker", "ankle-boot"], ["?"]]


def test_the_garment_of_a_tall_photo_is_found_where_the_letterbox_has_it() -> None:
    photo = np.full((200, 100, 3), 245, np.uint8)
    photo[50:150, 25:75] = (160, 30, 40)
    mask = garment_mask(photo, 80)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    assert (rows[0], rows[-1]) == pytest.approx((20, 59), abs=2)
    assert (columns[0], columns[-1]) == pytest.approx((30, 49), abs=2)


def test_no_group_lies_in_two_folds_and_folds_are_of_like_size() -> None:
    groups = np.random.default_rng(0).integers(0, 40, 400)
    fold = folds_by_group(groups, 4, seed=1)
    assert all(len(set(fold[groups == group])) == 1 for group in range(40))
    assert np.ptp(np.bincount(fold)) < 20
