import csv
from pathlib import Path

import numpy as np
import pytest

from catalog.bundle import load_bundle
from catalog.sample import SamplePicture, write_pictures
from catalog.settings import SHIPPED_BUNDLE
from catalog.taxonomy.reserved import NOT_IN_TAXONOMY
from trainer.fashion_mnist.dataset import DatasetError
from trainer.photo_evaluation import load_input, photo_table, read_photos


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[SamplePicture]:
    return write_pictures(tmp_path_factory.mktemp("pictures"))[:120]


def write_manifest(folder: Path, rows: list[tuple[object, ...]]) -> Path:
    path = folder / "photos.csv"
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([("path", "set", "label", "mapping"), *rows])
    return path


def test_photos_are_measured_by_set_through_the_shipped_model(
    pictures: list[SamplePicture], tmp_path: Path
) -> None:
    rows: list[tuple[object, ...]] = [(each.path, "shop", each.label, "exact") for each in pictures]
    (tmp_path / "text.jpg").write_text("no picture")
    rows += [
        ("text.jpg", "shop", "bag", "exact"),
        (pictures[0].path, "odd", NOT_IN_TAXONOMY, "approximate"),
        (pictures[1].path, "odd", pictures[1].label, "approximate"),
    ]
    bundle = load_bundle(SHIPPED_BUNDLE)
    table = photo_table(bundle, write_manifest(tmp_path, rows))
    assert list(table) == ["shop", "odd"]
    assert table["shop"]["photos"] == 121
    assert table["shop"]["unreadable"] == 1
    assert table["shop"]["accuracy"]["share"] > 0.85
    assert table["shop"]["strangers"] == 0
    assert set(table["shop"]["by_network"]) == {"reduced"}
    assert table["shop"]["by_network"]["reduced"]["strangers_auroc"] is None
    assert table["odd"]["strangers"] == 1
    assert table["odd"]["accuracy_exact"]["share"] is None


def test_a_photo_of_the_models_own_size_is_not_resampled(pictures: list[SamplePicture]) -> None:
    pixels = load_input(pictures[0].path)
    assert pixels is not None
    assert pixels.shape == (28, 28, 1)
    assert pixels.dtype == np.uint8


def test_a_manifest_without_a_column_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "photos.csv"
    path.write_text("path,label\na.jpg,bag\n")
    with pytest.raises(DatasetError, match="missing: set, mapping"):
        read_photos(path)
