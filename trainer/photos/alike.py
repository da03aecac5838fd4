"""From which likeness on two photos show one category: look-alikes nearer than that are offered.

Calibrated on labelled photos by embeddings of networks that were not shown them.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from catalog.out_of_taxonomy import unit
from trainer.photos.backbone import Backbone
from trainer.photos.cross_fitting import fitted_network
from trainer.photos.data import PhotoSet, folds_by_group
from trainer.photos.garments import Garments
from trainer.photos.network import STRANGER_SCALE, fit_projection, pooled_features
from trainer.photos.recipe import PhotoRecipe
from trainer.photos.rule import labels_in_view
from trainer.photos.training import fold_recipe, inputs

# A group on the desk: one photo and so many that look most like it.
NEIGHBOURS = 23
# So many of the pairs that are offered together are to show one category.
PURITY = 0.9
# Fewer pairs above a likeness prove nothing of it.
PAIRS_MIN = 30


def fit_alike(
    embeddings: NDArray[np.floating],
    truth: NDArray[np.int64],
    fold: NDArray[np.int64],
    purity: float = PURITY,
) -> float | None:
    """The least cosine at which PURITY of the pairs of a photo and its nearest show one category.

    embeddings: float (N, d); truth: int64 (N,), the strangers' -1 among them: two strangers are
    alike. fold: int64 (N,), by which network each was seen: only photos of one network are
    compared. None where no likeness is enough.
    """
    cosines, same = [], []
    for number in np.unique(fold):
        mine = fold == number
        found = nearest_pairs(unit(np.asarray(embeddings[mine], np.float32)), truth[mine])
        cosines.append(found[0])
        same.append(found[1])
    cosine, one = np.concatenate(cosines), np.concatenate(same)
    order = np.argsort(-cosine, kind="stable")
    share = np.cumsum(one[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero((share >= purity) & (np.arange(len(order)) + 1 >= PAIRS_MIN))
    return float(cosine[order[enough[-1]]]) if len(enough) else None


def alike_out_of_fold(
    photos: PhotoSet,
    scores: NDArray[np.float32],
    waiting: NDArray[np.bool_],
    garments: Garments | None,
    backbone: Backbone,
    recipe: PhotoRecipe,
    folder: Path,
) -> float | None:
    """The same from the finished folds of a training in `folder`.

    scores: float32 (N, C + 1), what was said of the photos out of fold. waiting: bool (N,), which a
    person would have to look at: only such ones stand on a desk, and they are the harder ones.
    """
    fold = folds_by_group(photos.groups, recipe.folds, recipe.seed)
    parts = {}
    for number in np.unique(fold):
        mine = fold == number
        one, run = fold_recipe(recipe, int(number)), folder / f"fold{number}"
        network = fitted_network(photos.take(~mine), garments, backbone, one, run)
        features = pooled_features(network, inputs(photos.take(mine), recipe))
        axes = fit_projection(features)
        parts[int(number)] = features @ axes[:-1] + axes[-1]
    width = min(part.shape[1] for part in parts.values())
    looks = np.zeros((len(photos), width + 1), np.float32)
    for number, part in parts.items():
        looks[fold == number, :-1] = part[:, :width]
    looks[:, -1] = STRANGER_SCALE * scores[:, -1]
    truth = labels_in_view(scores[:, :-1], photos.targets)
    return fit_alike(looks[waiting], truth[waiting], fold[waiting])


def nearest_pairs(
    rows: NDArray[np.float32], truth: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Cosine of each photo and each of its nearest, and whether both show one category.

    rows: float32 (N, d) of length 1; both results are flat, (N * min(NEIGHBOURS, N - 1),).
    """
    likeness = rows @ rows.T
    np.fill_diagonal(likeness, -np.inf)
    count = min(NEIGHBOURS, len(rows) - 1)
    nearest = np.argsort(-likeness, axis=1, kind="stable")[:, :count]
    cosine = np.take_along_axis(likeness, nearest, axis=1)
    return cosine.ravel(), (truth[nearest] == truth[:, None]).ravel()
