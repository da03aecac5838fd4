import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from catalog.taxonomy.reserved import NOT_IN_TAXONOMY
from lab.learning_curve import learning_curve
from trainer.adapt import AdaptConfig
from trainer.fashion_mnist.classes import LABELS
from trainer.fashion_mnist.dataset import DatasetError
from trainer.fine_tuning import FineTuningConfig
from trainer.photo_evaluation import Photo, rightly_named

pytestmark = pytest.mark.training
Garments = tuple[NDArray[np.uint8], NDArray[np.uint8]]

SMALL = AdaptConfig(
    learners=("head",),
    folds=2,
    fine_tuning=FineTuningConfig(views=1, replay_images=200, forgetting_max=0.1),
)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory, garments: Garments) -> Path:
    """240 garments upside down as small photos on white paper; every tenth is in no class."""
    folder = tmp_path_factory.mktemp("photos")
    rows = [("path", "set", "label", "mapping")]
    for number, (image, label) in enumerate(zip(*(each[:240] for each in garments), strict=True)):
        large = 255 - cv2.resize(image[::-1], (84, 84), interpolation=cv2.INTER_CUBIC)
        framed = cv2.copyMakeBorder(large, 8, 8, 8, 8, cv2.BORDER_CONSTANT, value=255)
        Image.fromarray(framed).save(folder / f"{number}.png")
        name = NOT_IN_TAXONOMY if number % 10 == 0 else LABELS[label]
        rows.append((f"{number}.png", "shop", name, "exact" if number % 2 else "approximate"))
    path = folder / "photos.csv"
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return path


def test_a_curve_judges_each_draw_on_the_photos_that_were_not_drawn(
    bundle_folder: Path, data_folder: Path, manifest: Path
) -> None:
    points = list(
        learning_curve(
            bundle_folder, manifest, "shop", data_folder,
            counts=[0, 10, 140], seeds=[3], verify=False, config=SMALL,
        )
    )  # fmt: skip
    assert [each.corrections for each in points] == [0, 10, 140]
    assert [each.of_the_ten_classes + each.photos for each in points] == [216, 216, 216]
    nothing, few, many = points
    assert (nothing.learner, few.learner) == ("base", "base")
    assert many.accuracy >= nothing.accuracy
    assert "140 corrections" in many.as_text()


def test_a_set_without_photos_is_refused(
    bundle_folder: Path, data_folder: Path, manifest: Path
) -> None:
    points = learning_curve(
        bundle_folder, manifest, "none", data_folder, counts=[0], seeds=[0], verify=False,
        config=SMALL,
    )  # fmt: skip
    with pytest.raises(DatasetError, match="found none"):
        next(points)


def test_shoes_that_their_source_does_not_tell_apart_are_right_as_any_footwear() -> None:
    photo = Photo(path=Path("a"), set="s", label="sneaker", exact=False, any_footwear=True)
    strict = Photo(path=Path("a"), set="s", label="sneaker", exact=True)
    places = np.array([LABELS.index(name) for name in ("sandal", "ankle-boot", "bag")])
    assert rightly_named([photo] * 3, places).tolist() == [True, True, False]
    assert rightly_named([strict] * 3, places).tolist() == [False, False, False]
