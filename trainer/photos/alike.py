"""From which likeness on two photos show one category: look-alikes nearer than that are offered.

Calibrated on labelled photos by embeddings of networks that were not shown them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from catalog.agreement import OVERLAP_MIN, overlap
from catalog.out_of_taxonomy import unit
from catalog.statistics import softmax
from trainer.photo_rule import FittedRule
from trainer.photos.backbone import Backbone
from trainer.photos.cross_fitting import fitted_network
from trainer.photos.data import PhotoSet, folds_by_group
from trainer.photos.garments import Garments
from trainer.photos.network import STRANGER_SCALE, fit_projection, pooled_features
from trainer.photos.recipe import PhotoRecipe
from trainer.photos.rule import accepted_by
from trainer.photos.training import fold_recipe, inputs

# A group on the desk: one photo and so many that look most like it.
NEIGHBOURS = 23
# So many of the pairs that are offered together are to show one category; where no likeness brings
# that, because what waits for people is the hardest only, so many: a group still saves keys.
PURITIES = (0.9, 0.8)
# Where no likeness is enough, the very same picture is.
SAME = 1.0
# Fewer pairs above a likeness prove nothing of it.
PAIRS_MIN = 30
# What a photo shows where that is one of several categories: nothing can be said of its pairs.
UNSURE = -2


@dataclass(frozen=True, kw_only=True)
class Alike:
    """least: the cosine from which on photos show one category; None where no likeness is enough.

    apart: the labels that fewer photos than a group's surely show, so that it was not measured of
    them: photos called so are alike only among themselves.
    """

    least: float | None
    apart: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """N photos as networks saw them that had not been shown them.

    embeddings: float (N, d). truth: int64 (N,), the place of each one's category among the labels,
    -1 for strangers: two of these are alike; UNSURE where it may be several. confidences: float
    (N, C), what was said. network: int64 (N,), which saw it: only photos of one are compared.
    """

    embeddings: NDArray[np.floating]
    truth: NDArray[np.int64]
    confidences: NDArray[np.floating]
    network: NDArray[np.int64]

    def take(self, chosen: NDArray[np.bool_]) -> "Seen":
        """The photos where `chosen`, bool (N,), is true."""
        return Seen(
            embeddings=self.embeddings[chosen],
            truth=self.truth[chosen],
            confidences=self.confidences[chosen],
            network=self.network[chosen],
        )


def fit_alike(
    photos: Seen,
    labels: Sequence[str],
    waiting: NDArray[np.bool_] | None = None,
    purities: Sequence[float] = PURITIES,
) -> Alike:
    """The least cosine at which so many pairs of a photo and its nearest show one category.

    purities: shares of the pairs, 0-1; the first that can be had.

    waiting: bool (N,), which a person would have to look at: only such ones stand on a desk, and
    they are the harder ones. None: all.
    """
    sure = np.bincount(photos.truth[photos.truth >= 0], minlength=len(labels))
    apart = np.flatnonzero(sure <= NEIGHBOURS)
    shown = photos if waiting is None else photos.take(waiting)
    return Alike(
        least=_least(shown, apart, purities),
        apart=tuple(labels[int(place)] for place in apart),
    )


def _least(photos: Seen, apart: NDArray[np.int64], purities: Sequence[float]) -> float | None:
    cosines, same = [], []
    for number in np.unique(photos.network):
        mine = photos.take(photos.network == number)
        rows = unit(np.asarray(mine.embeddings, np.float32))
        found = nearest_pairs(rows, mine.truth, may_meet(mine.confidences, apart))
        cosines.append(found[0])
        same.append(found[1])
    if not cosines:
        return None
    cosine, one = np.concatenate(cosines), np.concatenate(same)
    if len(cosine) < PAIRS_MIN:
        return None
    order = np.argsort(-cosine, kind="stable")
    share = (np.cumsum(one[order]) / np.arange(1, len(order) + 1))[PAIRS_MIN - 1 :]
    for purity in purities:
        enough = np.flatnonzero(share >= purity)
        if len(enough):
            return float(cosine[order[PAIRS_MIN - 1 + enough[-1]]])
    return SAME


def may_meet(confidences: NDArray[np.floating], apart: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of N photos may stand in one group by what is said of them, bool (N, N)."""
    said = confidences.argmax(axis=1)
    alone = np.isin(said, apart)
    named = (said[:, None] == said) | ~(alone[:, None] | alone)
    return np.asarray(named & (overlap(confidences, confidences) >= OVERLAP_MIN))


def alike_out_of_fold(
    photos: PhotoSet,
    scores: NDArray[np.float32],
    fitted: FittedRule,
    garments: Garments | None,
    backbone: Backbone,
    recipe: PhotoRecipe,
    folder: Path,
) -> Alike:
    """The same from the finished folds of a training in `folder`.

    scores: float32 (N, C + 1), what was said of the photos out of fold. fitted: by which rule they
    need no person.
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
    seen = Seen(
        embeddings=looks,
        truth=surely_shown(photos.targets),
        confidences=softmax(scores[:, :-1], fitted.rule.temperature),
        network=fold,
    )
    return fit_alike(seen, photos.labels, ~accepted_by(fitted, scores, photos.labels))


def surely_shown(targets: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The category of each photo, int64 (N,), -1 for strangers, UNSURE where it may be several."""
    one = np.where(targets[:, -1], -1, targets.argmax(axis=1))
    return np.asarray(np.where(targets.sum(axis=1) == 1, one, UNSURE), np.int64)


def nearest_pairs(
    rows: NDArray[np.float32], truth: NDArray[np.int64], meeting: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Cosine of each photo and each of its nearest, and whether both show one category.

    rows: float32 (N, d) of length 1; meeting: bool (N, N), which may stand together at all. Both
    results are flat, one for each pair of which it is known what both show.
    """
    likeness = np.where(meeting, rows @ rows.T, -np.inf)
    np.fill_diagonal(likeness, -np.inf)
    count = min(NEIGHBOURS, len(rows) - 1)
    nearest = np.argsort(-likeness, axis=1, kind="stable")[:, :count]
    cosine = np.take_along_axis(likeness, nearest, axis=1)
    told = np.isfinite(cosine) & (truth[:, None] != UNSURE) & (truth[nearest] != UNSURE)
    return cosine[told], (truth[nearest] == truth[:, None])[told]
