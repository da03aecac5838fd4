"""Scores for how little an image looks like any of the ten classes (higher is stranger).

Which one a bundle uses, and its parameters, stand in the bundle; NumPy only.
"""

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalog.bundle import Part
from catalog.statistics import log_sum_exp

Score = Callable[
    [NDArray[np.float32], NDArray[np.float32], Mapping[str, NDArray[np.float32]]],
    NDArray[np.float32],
]


def stored_parameters(part: Part) -> dict[str, NDArray[Any]]:
    """What a network's score needs, from the bytes that were verified; empty for some.

    Raises:
        ValueError, BadZipFile: the file holds something else.
    """
    name = part.network.out_of_taxonomy.parameters
    if name is None:
        return {}
    with np.load(BytesIO(part.contents[name]), allow_pickle=False) as arrays:
        return {key: arrays[key] for key in arrays.files}


def energy(
    logits: NDArray[np.float32],
    embedding: NDArray[np.float32],
    parameters: Mapping[str, NDArray[np.float32]],
) -> NDArray[np.float32]:
    """Minus the log-sum-exp of the logits, float32 (N,) (Liu et al. 2020, arXiv 2010.03759)."""
    return np.asarray(-log_sum_exp(logits), np.float32)


def class_gaussian(
    logits: NDArray[np.float32],
    embedding: NDArray[np.float32],
    parameters: Mapping[str, NDArray[np.float32]],
) -> NDArray[np.float32]:
    """Squared Mahalanobis distance to the nearest class mean, float32 (N,).

    Lee et al. 2018 (arXiv 1807.03888). Parameters: means (10, d) of the whitened embedding and
    whitening (d, d), which makes the covariance shared by all classes the identity.
    """
    distance = _mahalanobis(embedding, parameters["means"], parameters["whitening"])
    return distance.astype(np.float32)


def relative_gaussian(
    logits: NDArray[np.float32],
    embedding: NDArray[np.float32],
    parameters: Mapping[str, NDArray[np.float32]],
) -> NDArray[np.float32]:
    """How much farther to the nearest class than to all garments together, float32 (N,).

    Relative Mahalanobis distance (Ren et al. 2021, arXiv 2106.09022): what varies in every garment
    says nothing of strangers. Parameters: those of class_gaussian; all_means (1, d) and
    all_whitening (d, d), the same for all classes as one.
    """
    to_class = _mahalanobis(embedding, parameters["means"], parameters["whitening"])
    to_all = _mahalanobis(embedding, parameters["all_means"], parameters["all_whitening"])
    return (to_class - to_all).astype(np.float32)


def nearest_neighbour(
    logits: NDArray[np.float32],
    embedding: NDArray[np.float32],
    parameters: Mapping[str, NDArray[np.float32]],
) -> NDArray[np.float32]:
    """Squared distance to the k-th nearest training embedding, float32 (N,).

    On embeddings of length 1 (Sun et al. 2022, arXiv 2204.06507). Parameters: bank (M, d) of
    length 1, any float; neighbours, k.
    """
    distance = _nearest_squared_distance(
        unit(embedding), parameters["bank"], int(parameters["neighbours"])
    )
    return distance.astype(np.float32)


def two_banks(
    logits: NDArray[np.float32],
    embedding: NDArray[np.float32],
    parameters: Mapping[str, NDArray[np.float32]],
) -> NDArray[np.float32]:
    """Half the likeness to known strangers minus that to known garments, float32 (N,), -1 to 0.5.

    For a model that was shown what is not in the taxonomy. Likeness is the mean cosine of the k
    nearest. Half, because what is like neither bank is a stranger, too. Parameters: bank (M, d)
    and strange_bank (S, d) of length 1, any float, S may be 0; neighbours, k.
    """
    points, k = unit(embedding), int(parameters["neighbours"])
    strange = _likeness(points, parameters["strange_bank"], k)
    return np.asarray(strange / 2 - _likeness(points, parameters["bank"], k), np.float32)


def unit(embedding: NDArray[np.float32]) -> NDArray[np.float32]:
    """Embeddings at length 1, float32 (N, d)."""
    length = np.linalg.norm(embedding, axis=1, keepdims=True)
    return np.asarray(embedding / np.maximum(length, 1e-12), np.float32)


def learned_stranger(
    logits: NDArray[np.float32],
    embedding: NDArray[np.float32],
    parameters: Mapping[str, NDArray[np.float32]],
) -> NDArray[np.float32]:
    """The strangers' own logit less the log-sum-exp of the categories', float32 (N,), in nats.

    For a network that learned strangers as a class of their own and says it with the last value of
    the embedding. Parameters: scale, what that value is to be multiplied with.
    """
    stranger = embedding[:, -1] * float(parameters["scale"])
    return np.asarray(stranger + energy(logits, embedding, {}), np.float32)


SCORES: Mapping[str, Score] = {
    "learned_stranger": learned_stranger,
    "energy": energy,
    "class_gaussian": class_gaussian,
    "relative_gaussian": relative_gaussian,
    "nearest_neighbour": nearest_neighbour,
    "two_banks": two_banks,
}


def _likeness(
    unit: NDArray[np.floating], bank: NDArray[np.floating], k: int
) -> NDArray[np.float64]:
    """The mean cosine of each of N points to the k most alike of M places, float64 (N,)."""
    if not len(bank):
        return np.zeros(len(unit))
    cosines = unit.astype(np.float64) @ bank.astype(np.float64).T
    k = min(k, cosines.shape[1])
    return np.asarray(np.partition(cosines, -k, axis=1)[:, -k:].mean(axis=1))


def _mahalanobis(
    embedding: NDArray[np.floating], means: NDArray[np.floating], whitening: NDArray[np.floating]
) -> NDArray[np.float64]:
    """The squared distance to the nearest of the whitened means, float64 (N,)."""
    # In float64, so that the order in which BLAS adds up, which depends on the size of the batch,
    # does not show in the float32 result: the same image gets the same score in any batch.
    whitened = embedding.astype(np.float64) @ whitening.astype(np.float64)
    return _nearest_squared_distance(whitened, means, 1)


def _nearest_squared_distance(
    points: NDArray[np.floating], places: NDArray[np.floating], k: int
) -> NDArray[np.float64]:
    """The squared distance of each of N points to the k-th nearest of M places, float64 (N,)."""
    points, places = points.astype(np.float64), places.astype(np.float64)
    squares = (points**2).sum(axis=1)[:, None] + (places**2).sum(axis=1) - 2 * points @ places.T
    # Rounding may take a distance of zero below it.
    return np.asarray(np.maximum(np.partition(squares, k - 1, axis=1)[:, k - 1], 0))
