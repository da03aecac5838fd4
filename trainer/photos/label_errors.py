"""Labels that are probably wrong, said before anything is trained on them.

Confident learning (Northcutt et al. 2021, arXiv 1911.00068): a cheap linear classifier on features
that exist already judges every photo by a model that saw no other of its group. A photo is
suspected where another category passes the confidence that is usual of it, and its own does not.
"""

import csv
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from catalog.taxonomy.reserved import NOT_IN_TAXONOMY
from trainer.photos.backbone import Backbone
from trainer.photos.data import PhotoSet, folds_by_group
from trainer.photos.lists import ANY_OF, PHOTOS_MIN
from trainer.photos.network import predict
from trainer.photos.recipe import PhotoRecipe
from trainer.photos.training import inputs

FILE = "suspected_labels.csv"
FOLDS = 3
# Of the backbone's features; with all 1280 the classifier takes minutes and finds no more.
AXES = 128
# Of a few photos that many axes would be chance.
PHOTOS_AN_AXIS = 8
# Scikit-learn's C times the number of photos: the penalty weighs the same for few and for many.
INVERSE_PENALTY = 25.0
STEPS_MAX = 2000
# How much a doubted label counts that nobody looked at.
DOUBTED_WEIGHT = 0.3
SHOWN_MAX = 20
# Edges of a picture of this length stand for a backbone that knows nothing yet.
EDGES_PX = 64
DIRECTIONS = 8


@dataclass(frozen=True, kw_only=True)
class Suspected:
    """Photos whose label is doubted, the surest first.

    index int64 (M,); suggested int64 (M,), the category they resemble, C for strangers; own and
    other float64 (M,), the probability of the given and of the suggested category, 0-1.
    """

    index: NDArray[np.int64]
    suggested: NDArray[np.int64]
    own: NDArray[np.float64]
    other: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.index)


def suspected_errors(photos: PhotoSet, backbone: Backbone, recipe: PhotoRecipe) -> Suspected:
    """The photos whose label is doubted; of categories with too few photos none is."""
    features = looks(inputs(photos, recipe), backbone)
    probability = out_of_fold(features, photos.targets, photos.groups, recipe.seed)
    return confident_errors(probability, photos.targets)


def looks(images: NDArray[np.uint8], backbone: Backbone) -> NDArray[np.float32]:
    """What a backbone sees in each of uint8 (N, S, S, 3), before any training: float32 (N, F)."""
    if not backbone.about["origin"].startswith("trained from nothing"):
        entry = keras.Input(images.shape[1:])
        model = keras.Model(entry, layers.GlobalAveragePooling2D()(backbone.build(entry)))
        backbone.start(model)
        return np.asarray(predict(model, images), np.float32)
    return np.stack([edges_of(image) for image in images])


def edges_of(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How strong edges of each direction are in each place of uint8 (S, S, 3), float32 (512,).

    Histograms of oriented gradients (Dalal and Triggs 2005), for want of a backbone.
    """
    small = cv2.resize(image, (EDGES_PX, EDGES_PX), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    across, down = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    strength = np.hypot(across, down)
    direction = np.floor(np.arctan2(down, across) % np.pi / np.pi * DIRECTIONS) % DIRECTIONS
    maps = [np.where(direction == each, strength, 0) for each in range(DIRECTIONS)]
    cells = np.stack([cv2.resize(each, (8, 8), interpolation=cv2.INTER_AREA) for each in maps])
    return np.asarray(np.sqrt(cells / (cells.sum() + 1e-6)).ravel(), np.float32)


def out_of_fold(
    features: NDArray[np.float32],
    targets: NDArray[np.bool_],
    groups: NDArray[np.int64],
    seed: int,
) -> NDArray[np.float64]:
    """The probability of each category, float64 (N, C + 1), from photos of other groups.

    What allows several categories teaches nothing. Rows that cannot be judged, as too few other
    photos are of their category, are NaN.
    """
    found = np.full(targets.shape, np.nan)
    label = targets.argmax(axis=1)
    sure = targets.sum(axis=1) == 1
    sure &= np.bincount(label[sure], minlength=targets.shape[1])[label] >= PHOTOS_MIN
    count = min(FOLDS, len(np.unique(groups)))
    if count < 2:
        return found
    fold = folds_by_group(groups, count, seed)
    for number in range(count):
        mine, learned = fold == number, sure & (fold != number)
        if len(np.unique(label[learned])) < 2 or not mine.any():
            continue
        axes = min(AXES, features.shape[1], 1 + int(learned.sum()) // PHOTOS_AN_AXIS)
        classifier = make_pipeline(
            PCA(axes, whiten=True, svd_solver="randomized", random_state=seed),
            LogisticRegression(C=INVERSE_PENALTY / learned.sum(), max_iter=STEPS_MAX),
        ).fit(features[learned], label[learned])
        said = np.zeros((mine.sum(), targets.shape[1]))
        said[:, classifier.classes_] = classifier.predict_proba(features[mine])
        judged = targets[mine][:, classifier.classes_].any(axis=1)
        found[mine] = np.where(judged[:, None], said, np.nan)
    return found


def confident_errors(probability: NDArray[np.float64], targets: NDArray[np.bool_]) -> Suspected:
    """Where a category that is not allowed passes its own threshold and no allowed one does.

    probability: float64 (N, C + 1), NaN where nothing is known; targets: bool (N, C + 1). A
    category's threshold is the mean of what photos of it alone have for it.
    """
    judged: NDArray[np.bool_] = np.asarray(~np.isnan(probability).any(axis=1))
    sure = judged & (targets.sum(axis=1) == 1)
    usual = np.full(targets.shape[1], np.inf)
    for category in range(targets.shape[1]):
        of_it = sure & targets[:, category]
        if of_it.any():
            usual[category] = probability[of_it, category].mean()
    passes = judged[:, None] & (np.nan_to_num(probability) >= usual)
    other = np.where(passes & ~targets, probability, 0.0)
    own = np.where(targets, np.nan_to_num(probability), 0.0).max(axis=1)
    margin = other.max(axis=1) - own
    index = np.flatnonzero(~(passes & targets).any(axis=1) & (margin > 0) & (other.max(axis=1) > 0))
    index = index[np.argsort(-margin[index], kind="stable")]
    return Suspected(
        index=index,
        suggested=other[index].argmax(axis=1),
        own=own[index],
        other=other[index].max(axis=1),
    )


def told(found: Suspected, photos: PhotoSet, written: Path) -> list[str]:
    """The surest of them, one a line, and where all stand."""
    if not len(found):
        return []
    lines = [
        f"{len(found)} labels are perhaps wrong, by photos of other groups; all are in {written}"
    ]
    lines += [
        f"{photos.paths[index]}: labelled {given}, looks like {suggested} ({other:.0%})"
        for index, given, suggested, _, other in _rows(found, photos)[:SHOWN_MAX]
    ]
    return lines


def write(found: Suspected, photos: PhotoSet, path: Path) -> None:
    """Write all of them as CSV; files are named from the folder that holds them all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    named = _named(photos.paths)
    with path.open("w", encoding="utf-8", newline="") as stream:
        sheet = csv.writer(stream)
        sheet.writerow(("photo", "label", "looks_like", "probability", "probability_of_label"))
        for index, given, suggested, own, other in _rows(found, photos):
            sheet.writerow(
                (named(photos.paths[index]), given, suggested, f"{other:.3f}", f"{own:.3f}")
            )


def weighed_down(photos: PhotoSet, found: Suspected) -> PhotoSet:
    """The photos, with less weight for doubted labels that nobody looked at."""
    if photos.declared is None or not photos.declared[found.index].any():
        return photos
    weights = np.ones(len(photos), np.float32) if photos.weights is None else photos.weights.copy()
    weights[found.index[photos.declared[found.index]]] *= DOUBTED_WEIGHT
    return replace(photos, weights=weights)


def _rows(found: Suspected, photos: PhotoSet) -> list[tuple[int, str, str, float, float]]:
    """Index, given and suggested label, and the probabilities of both."""
    names = (*photos.labels, NOT_IN_TAXONOMY)
    return [
        (
            int(index),
            ANY_OF.join(names[each] for each in np.flatnonzero(photos.targets[index])),
            names[suggested],
            float(own),
            float(other),
        )
        for index, suggested, own, other in zip(
            found.index, found.suggested, found.own, found.other, strict=True
        )
    ]


def _named(paths: tuple[str, ...]) -> Callable[[str], str]:
    """How a bundle names its photos: whose machine they lay on is nobody's business."""
    files = [Path(path).absolute() for path in paths if "://" not in path]
    top = Path(os.path.commonpath([each.parent for each in files])) if files else Path("/")
    return lambda path: path if "://" in path else str(Path(path).absolute().relative_to(top))
