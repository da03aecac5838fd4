"""Every photo judged by a network that saw neither it nor others of its group.

What is decided (temperature, thresholds, how far from the first weights to go) is decided on these
words; the network that ships learns from all photos afterwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from trainer.photos.backbone import Backbone
from trainer.photos.data import PhotoSet, folds_by_group
from trainer.photos.garments import Garments
from trainer.photos.network import predict
from trainer.photos.recipe import PhotoRecipe
from trainer.photos.training import accuracy, fold_recipe, inputs, new_network, train

SCORES = "scores.npy"
WEIGHTS = "weights.npz"
# Between the first weights and the learned ones there are networks that know more than either
# (Wortsman et al. 2022, arXiv 2109.01903): the first still know what no photo showed.
SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
# What the photos at hand may lose for what they cannot show, in shares of all photos.
LOSS_MAX = 0.005


@dataclass(frozen=True, kw_only=True)
class OutOfFold:
    """scores: float32 (shares, N, C + 1), of networks at each of SHARES of the way."""

    scores: NDArray[np.float32]
    shares: tuple[float, ...] = SHARES


def cross_fit(
    photos: PhotoSet,
    garments: Garments | None,
    backbone: Backbone,
    recipe: PhotoRecipe,
    folder: Path,
    *,
    after: Path | None = None,
) -> OutOfFold:
    """Learn from all folds but one and judge that one, for each; finished folds are kept.

    `after`: the folder of an earlier round, whose networks learn on.
    """
    fold = folds_by_group(photos.groups, recipe.folds, recipe.seed)
    scores = np.empty((len(SHARES), *photos.targets.shape), np.float32)
    for number in range(recipe.folds):
        mine = fold == number
        path = folder / f"fold{number}" / SCORES
        if not path.is_file():
            one = fold_recipe(recipe, number)
            network, first = fitted_network(
                photos.take(~mine),
                garments,
                backbone,
                one,
                path.parent,
                after=None if after is None else after / f"fold{number}",
            )
            found = scores_at(network, first, inputs(photos.take(mine), recipe))
            np.save(path, found, allow_pickle=False)
        scores[:, mine] = np.load(path, allow_pickle=False)
    return OutOfFold(scores=scores)


def fitted_network(
    photos: PhotoSet,
    garments: Garments | None,
    backbone: Backbone,
    recipe: PhotoRecipe,
    folder: Path,
    *,
    after: Path | None = None,
) -> tuple[keras.Model, list[NDArray[Any]]]:
    """A trained network, and the weights that it started from; a finished one is read.

    `after`: the folder of the same network's earlier round. The first weights are those before it.
    """
    network = new_network(backbone, photos.labels, recipe)
    first = network.get_weights()
    path = folder / WEIGHTS
    if not path.is_file():
        if after is not None:
            _read_weights(network, after / WEIGHTS)
        train(network, photos, garments, recipe, folder)
        arrays = {str(number): value for number, value in enumerate(network.get_weights())}
        np.savez(path, allow_pickle=False, **arrays)
    _read_weights(network, path)
    return network, first


def scores_at(
    network: keras.Model, first: Sequence[NDArray[Any]], images: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """What the networks at SHARES of the way say, float32 (shares, N, C + 1); it is left as it was.

    images: uint8 (N, S, S, 3).
    """
    learned = network.get_weights()
    found = []
    for share in SHARES:
        network.set_weights(between(first, learned, share))
        found.append(np.asarray(predict(network, images), np.float32))
    network.set_weights(learned)
    return np.stack(found)


def between(
    first: Sequence[NDArray[Any]], learned: Sequence[NDArray[Any]], share: float
) -> list[NDArray[Any]]:
    """Weights at `share` of the way from the first to the learned ones."""
    return [(1 - share) * a + share * b for a, b in zip(first, learned, strict=True)]


def _read_weights(network: keras.Model, path: Path) -> None:
    with np.load(path, allow_pickle=False) as stored:
        network.set_weights([stored[str(number)] for number in range(len(stored.files))])


def choose_share(found: OutOfFold, photos: PhotoSet) -> float:
    """The share that stays nearest to the first weights for hardly any loss on these photos."""
    right = [accuracy(scores, photos) for scores in found.scores]
    return next(
        share
        for share, each in zip(found.shares, right, strict=True)
        if each >= max(right) - LOSS_MAX
    )
