import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.trainer.photos.pictures import photo_set
from trainer.photos.backbone import find_backbone
from trainer.photos.data import PhotoSet
from trainer.photos.label_errors import (
    DOUBTED_WEIGHT,
    Suspected,
    confident_errors,
    out_of_fold,
    suspected_errors,
    told,
    weighed_down,
    write,
)
from trainer.photos.recipe import PhotoRecipe

pytestmark = pytest.mark.training

CATEGORIES = 4


def looks_of(labels: NDArray[np.int64], seed: int = 0) -> NDArray[np.float32]:
    """Features float32 (N, 20) that tell the labels well, but not perfectly, apart."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, 1, (CATEGORIES, 20)) * 2
    return (centres[labels] + rng.normal(0, 1, (len(labels), 20))).astype(np.float32)


def targets(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.eye(CATEGORIES, dtype=bool)[labels]


def doubted(
    features: NDArray[np.float32], given: NDArray[np.bool_], groups: NDArray[np.int64]
) -> Suspected:
    return confident_errors(out_of_fold(features, given, groups, 0), given)


def test_labels_that_were_changed_are_found_and_others_hardly_doubted() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, CATEGORIES, 600)
    changed = rng.random(600) < 0.05
    given = np.where(changed, (truth + 1) % CATEGORIES, truth)
    found = doubted(looks_of(truth), targets(given), np.arange(600))
    assert changed[found.index].mean() > 0.9
    assert changed[found.index].sum() > 0.5 * changed.sum()
    np.testing.assert_array_equal(found.suggested, truth[found.index])
    assert (np.diff(found.other - found.own) <= 0).all()  # the surest first


def test_photos_of_one_group_do_not_bear_each_other_out() -> None:
    truth = np.random.default_rng(2).integers(0, CATEGORIES, 400)
    features, given, groups = looks_of(truth), truth.copy(), np.arange(400)
    alike = np.flatnonzero(truth == 0)[:30]  # one sender's photos of one thing, all wrong
    features[alike] = features[alike[0]]
    given[alike] = 1
    apart = doubted(features, targets(given), np.where(np.isin(groups, alike), 1000, groups))
    assert set(alike) <= set(apart.index)
    mixed = doubted(features, targets(given), groups)
    assert not set(alike) & set(mixed.index)


def test_neither_rare_categories_nor_open_labels_are_doubted_for_want_of_photos() -> None:
    truth = np.random.default_rng(3).integers(0, 3, 300)
    truth[:5] = 3  # of the last category there are five photos
    given = targets(truth)
    given[5:50, :3] = True  # any of three
    found = doubted(looks_of(truth), given, np.arange(300))
    assert not set(found.index) & set(range(50))


def test_one_group_alone_cannot_be_judged() -> None:
    truth = np.arange(100) % CATEGORIES
    assert len(doubted(looks_of(truth), targets(truth), np.zeros(100, np.int64))) == 0


def mislabelled(count: int) -> PhotoSet:
    """Photos drawn for tests, of which the first disc and the last frame are called bars."""
    photos = photo_set(count)
    given = photos.targets.copy()
    given[[0, 3 * count - 1]] = [False, True, False, False]
    return replace(photos, targets=given)


def test_without_a_backbone_edges_are_looked_at() -> None:
    photos = mislabelled(40)
    found = suspected_errors(photos, find_backbone("none"), PhotoRecipe(side_px=32))
    assert {0, 119} <= set(found.index)
    assert len(found) < 16


SUSPECTED = Suspected(
    index=np.array([2, 0]), suggested=np.array([1, 3]), own=np.array([0.01, 0.1]),
    other=np.array([0.97, 0.8]),
)  # fmt: skip


def test_suspected_labels_are_told_with_paths_and_written_without_the_machines_folders(
    tmp_path: Path,
) -> None:
    photos = photo_set(1)
    paths = (str(tmp_path / "a" / "0.png"), "1.png", "https://shop.example/2.png", "3.png")
    photos = replace(photos, paths=(*paths[:1], str(tmp_path / "1.png"), paths[2], paths[0]))
    lines = told(SUSPECTED, photos, tmp_path / "suspected.csv")
    assert lines[0].startswith("2 labels are perhaps wrong")
    assert lines[1] == "https://shop.example/2.png: labelled frame, looks like bar (97%)"
    assert lines[2] == f"{paths[0]}: labelled disc, looks like not_in_taxonomy (80%)"
    write(SUSPECTED, photos, tmp_path / "report" / "suspected.csv")
    text = (tmp_path / "report" / "suspected.csv").read_text()
    rows = list(csv.reader(text.splitlines()))
    assert rows[1] == ["https://shop.example/2.png", "frame", "bar", "0.970", "0.010"]
    assert rows[2][0] == "a/0.png"


def test_only_doubted_labels_that_nobody_looked_at_count_less() -> None:
    photos = photo_set(1)
    assert weighed_down(photos, SUSPECTED) is photos
    declared = np.array([True, True, False, False])
    weights = np.array([0.5, 1.0, 1.0, 1.0], np.float32)
    found = weighed_down(replace(photos, declared=declared, weights=weights), SUSPECTED)
    assert found.weights is not None
    np.testing.assert_allclose(found.weights, [0.5 * DOUBTED_WEIGHT, 1.0, 1.0, 1.0])
