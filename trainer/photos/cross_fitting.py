"""Every photo judged by a network that saw neither it nor others of its group.

What is decided (temperatures, thresholds, how much a network counts) is decided on these words; the
network that ships learns from all photos afterwards.
"""

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from trainer.photos.backbone import Backbone
from trainer.photos.data import PhotoSet, folds_by_group
from trainer.photos.garments import Garments
from trainer.photos.network import predict
from trainer.photos.recipe import PhotoRecipe
from trainer.photos.training import fold_recipe, inputs, new_network, train
from trainer.photos.variation import on_white

SCORES = "scores.npz"
WEIGHTS = "weights.npz"


@dataclass(frozen=True, kw_only=True)
class OutOfFold:
    """Scores of N photos, float32 (N, C + 1): as they are, and cut out onto white."""

    scores: NDArray[np.float32]
    on_white: NDArray[np.float32]


def cross_fit(
    photos: PhotoSet,
    garments: Garments | None,
    backbone: Backbone,
    recipe: PhotoRecipe,
    folder: Path,
) -> OutOfFold:
    """Learn from all folds but one and judge that one, for each; finished folds are kept."""
    fold = folds_by_group(photos.groups, recipe.folds, recipe.seed)
    found = OutOfFold(
        scores=np.empty(photos.targets.shape, np.float32),
        on_white=np.empty(photos.targets.shape, np.float32),
    )
    for number in range(recipe.folds):
        mine = fold == number
        path = folder / f"fold{number}" / SCORES
        if not path.is_file():
            one = fold_recipe(recipe, number)
            network = fitted_network(photos.take(~mine), garments, backbone, one, path.parent)
            held_out = photos.take(mine)
            np.savez(
                path,
                scores=predict(network, inputs(held_out, recipe)),
                on_white=predict(network, inputs(on_white(held_out), recipe)),
            )
        with np.load(path, allow_pickle=False) as stored:
            found.scores[mine], found.on_white[mine] = stored["scores"], stored["on_white"]
    return found


def fitted_network(
    photos: PhotoSet,
    garments: Garments | None,
    backbone: Backbone,
    recipe: PhotoRecipe,
    folder: Path,
) -> keras.Model:
    """A trained network; a finished one is read."""
    network = new_network(backbone, photos.labels, recipe)
    path = folder / WEIGHTS
    if not path.is_file():
        teacher = new_network(backbone, photos.labels, recipe)
        train(network, photos, garments, recipe, folder, teacher=teacher)
        arrays = {str(number): value for number, value in enumerate(network.get_weights())}
        np.savez(path, allow_pickle=False, **arrays)
    with np.load(path, allow_pickle=False) as stored:
        network.set_weights([stored[str(number)] for number in range(len(stored.files))])
    return network
