"""Learn the head alone, on features that stay: minutes become seconds.

Cross-fitting looks at every photo once, in a few views; a fold is a regression of their features.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray
from scipy.optimize import minimize

from catalog.statistics import softmax
from trainer.photos.data import PhotoSet
from trainer.photos.network import predict
from trainer.photos.opening import OpenedNetwork, features_of
from trainer.photos.recipe import PhotoRecipe
from trainer.photos.training import inputs
from trainer.photos.variation import varied


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """How the head learns."""

    views: int = 4  # of each photo: as it is served, mirrored, and varied
    anchor: float = 3e-5  # pulls what is learned towards nothing, per squared weight
    smoothing: float = 0.05  # of labels, over all categories and the strangers
    memory_weight: float = 0.3  # of photos that the network is to name as before, all together
    axes: int = 320  # of the features: what is learned lies in the space of these
    iterations: int = 120


@dataclass(frozen=True, kw_only=True)
class Looks:
    """What a network sees in V views of each of N photos.

    features: float32 (V, N, F), averaged over their places; scores: float32 (V, N, C + 1). The
    first view is the photo as it is served.
    """

    features: NDArray[np.float32]
    scores: NDArray[np.float32]

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> "Looks":
        """Those of the photos at `chosen`, or where it is true."""
        return Looks(features=self.features[:, chosen], scores=self.scores[:, chosen])

    def with_head(self, kernel: NDArray[np.float32]) -> NDArray[np.float32]:
        """The scores of the photos as served after `kernel` was added, float32 (N, C + 1)."""
        return np.asarray(self.scores[0] + self.features[0] @ kernel, np.float32)


def look(opened: OpenedNetwork, photos: PhotoSet, config: HeadConfig, recipe: PhotoRecipe) -> Looks:
    """Look at all photos in all views; the network is as it was opened.

    How a photo is varied hangs on itself, not on those beside it: looks at many photos hold those
    at any part of them.
    """
    served = inputs(photos, recipe)
    views = [served, served[:, :, ::-1]]
    rngs = [
        np.random.default_rng((recipe.seed, zlib.crc32(pixels.tobytes())))
        for pixels in photos.pixels
    ]
    while len(views) < config.views:
        views.append(np.stack([varied(photos, row, recipe, rng) for row, rng in enumerate(rngs)]))
    return seen(opened, views[: config.views])


def seen(opened: OpenedNetwork, views: Sequence[NDArray[np.uint8]]) -> Looks:
    """What the network, as it is now, sees in V views uint8 (N, S, S, 3)."""
    pooled = layers.GlobalAveragePooling2D()(features_of(opened.network))
    seer = keras.Model(opened.network.input, {"features": pooled, "scores": opened.network.output})
    # All at once: each call is traced anew.
    found = predict(seer, np.ascontiguousarray(np.concatenate(views)))
    shape = len(views), len(views[0]), -1
    return Looks(features=found["features"].reshape(shape), scores=found["scores"].reshape(shape))


def fit_head(
    looks: Looks,
    targets: NDArray[np.bool_],
    memory: Looks | None,
    config: HeadConfig,
    added: tuple[int, ...] = (),
) -> NDArray[np.float32]:
    """What to add to the head's kernel, float32 (F, C + 1).

    targets: bool (N, C + 1), one of each row. memory: photos of which the network is to say what it
    said. added: places of categories that the network never saw; each starts towards the mean
    feature of its photos. A multinomial logistic regression beside what the network says already.
    """
    features = _flat(looks.features)
    start = first_rows(looks, targets, added)
    offset = _flat(looks.scores) + features @ start
    wanted = np.tile(_smoothed(targets, config.smoothing), (len(looks.features), 1))
    weights = np.full(len(wanted), 1 / len(wanted))
    if memory is not None and memory.features.shape[1]:
        remembered = _flat(memory.scores)
        said = remembered.copy()
        said[:, list(added)] = -np.inf  # of these it could not speak
        features = np.concatenate([features, _flat(memory.features)])
        offset = np.concatenate([offset, remembered + _flat(memory.features) @ start])
        wanted = np.concatenate([wanted, softmax(said)])
        share = config.memory_weight / len(said)
        weights = np.concatenate([weights, np.full(len(said), share)])
    axes = main_axes(features, config.axes)
    scale = float(np.sqrt((features**2).sum(axis=1).mean()))
    seen = np.asarray(features @ axes / scale, np.float64)

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        kernel = flat.reshape(seen.shape[1], -1)
        shares = softmax(offset + seen @ kernel)
        missed = -(wanted * np.log(np.maximum(shares, 1e-12))).sum(axis=1)
        value = float(weights @ missed) + config.anchor * float((kernel**2).sum())
        slope = seen.T @ (weights[:, None] * (shares - wanted)) + 2 * config.anchor * kernel
        return value, slope.ravel()

    nothing = np.zeros(seen.shape[1] * offset.shape[1])
    found = minimize(
        loss, nothing, jac=True, method="L-BFGS-B", options={"maxiter": config.iterations}
    )
    learned = axes @ found.x.reshape(seen.shape[1], -1) / scale
    return np.asarray(start + learned, np.float32)


def first_rows(
    looks: Looks, targets: NDArray[np.bool_], added: tuple[int, ...]
) -> NDArray[np.float32]:
    """Kernels that lead to the mean feature of the photos of each added category, (F, C + 1).

    As strong as the network's own words usually are: a photo at the mean gets as much more than the
    average photo as the best score is above the mean one.
    """
    start = np.zeros((looks.features.shape[2], targets.shape[1]), np.float32)
    everywhere, strength = looks.features[0].mean(axis=0), _strength(looks.scores[0], added)
    for place in added:
        mine = targets[:, place]
        if mine.any():
            way = looks.features[0][mine].mean(axis=0) - everywhere
            start[:, place] = strength * way / max(float(way @ way), 1e-12)
    return start


def main_axes(features: NDArray[np.floating], count: int) -> NDArray[np.float64]:
    """The directions in which features (N, F) are longest, orthonormal float64 (F, d)."""
    values, axes = np.linalg.eigh(np.asarray(features.T @ features, np.float64))
    return np.asarray(axes[:, ::-1][:, : min(count, len(features), len(values))])


def _strength(scores: NDArray[np.float32], added: tuple[int, ...]) -> float:
    old = np.delete(scores, list(added), axis=1)
    return float((old.max(axis=1) - old.mean(axis=1)).mean())


def _smoothed(targets: NDArray[np.bool_], smoothing: float) -> NDArray[np.float64]:
    one = targets / targets.sum(axis=1, keepdims=True)
    return np.asarray((1 - smoothing) * one + smoothing / targets.shape[1])


def _flat(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Views of photos as rows, float64."""
    return np.asarray(values.reshape(-1, values.shape[-1]), np.float64)
