"""Near-duplicates and suspected label errors among labelled images.

Both come from each image's nearest neighbours in the network's embedding.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from catalog.out_of_taxonomy import unit
from trainer.fashion_mnist.classes import LABELS
from trainer.fashion_mnist.dataset import Split

NEIGHBOURS = 20
# Root mean square difference, grey levels, under which two pictures count as the same.
DUPLICATE_RMS_MAX = 8.0
BLOCK = 1_000


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """Pairs of images: indices int64 (P, 2), and how they differ, float32 (P,), grey levels RMS."""

    pairs: NDArray[np.int64]
    difference: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class LabelErrors:
    """Suspected label errors, the surest first.

    index int64 (M,); suggested int64 (M,), the label its neighbours have; margin float64 (M,), the
    share of neighbours with the suggested label less the share with the given one, 0-1.
    """

    index: NDArray[np.int64]
    suggested: NDArray[np.int64]
    margin: NDArray[np.float64]


def nearest(embedding: NDArray[np.float32], count: int = NEIGHBOURS) -> NDArray[np.int64]:
    """The `count` nearest other images of each by cosine, nearest first, int64 (N, count)."""
    points = unit(embedding)
    count = min(count, len(points) - 1)
    found = np.empty((len(points), count), np.int64)
    for start in range(0, len(points), BLOCK):
        likeness = points[start : start + BLOCK] @ points.T
        rows = np.arange(len(likeness))
        likeness[rows, start + rows] = -np.inf  # not itself
        best = np.argpartition(-likeness, count - 1, axis=1)[:, :count]
        order = np.argsort(-np.take_along_axis(likeness, best, axis=1), axis=1)
        found[start : start + BLOCK] = np.take_along_axis(best, order, axis=1)
    return found


def find_duplicates(images: NDArray[np.uint8], neighbours: NDArray[np.int64]) -> Duplicates:
    """Pairs of all but equal pictures, the most alike first."""
    here = np.repeat(np.arange(len(images)), neighbours.shape[1])
    pairs = np.unique(np.sort(np.stack([here, neighbours.ravel()], axis=1), axis=1), axis=0)
    flat = images.reshape(len(images), -1)
    difference = np.concatenate(
        [
            _rms(flat, pairs[start : start + BLOCK * 10])
            for start in range(0, len(pairs), BLOCK * 10)
        ]
    )
    same = np.flatnonzero(difference <= DUPLICATE_RMS_MAX)
    same = same[np.argsort(difference[same], kind="stable")]
    return Duplicates(pairs=pairs[same], difference=difference[same])


def find_label_errors(labels: NDArray[np.int64], neighbours: NDArray[np.int64]) -> LabelErrors:
    """Confident learning (Northcutt et al. 2021, arXiv 1911.00068) on the neighbours' votes.

    An image's own label has no vote on it. It is suspected where another label's share passes
    the mean share that this label reaches among images that bear it.
    """
    classes = len(LABELS)
    votes = np.zeros((len(labels), classes))
    for column in neighbours.T:
        votes[np.arange(len(labels)), labels[column]] += 1 / neighbours.shape[1]
    usual = np.array(
        [votes[labels == k, k].mean() if (labels == k).any() else 1.0 for k in range(classes)]
    )
    confident = np.where(votes >= usual, votes, 0)
    confident[np.arange(len(labels)), labels] = 0
    suggested = confident.argmax(axis=1)
    margin = confident.max(axis=1) - votes[np.arange(len(labels)), labels]
    index = np.flatnonzero((confident.max(axis=1) > 0) & (margin > 0))
    index = index[np.argsort(-margin[index], kind="stable")]
    return LabelErrors(index=index, suggested=suggested[index], margin=margin[index])


def class_counts(data: Split) -> dict[str, int]:
    """Images of each label."""
    return {name: int((data.labels == label).sum()) for label, name in enumerate(LABELS)}


def _rms(flat: NDArray[np.uint8], pairs: NDArray[np.int64]) -> NDArray[np.float32]:
    gap = flat[pairs[:, 0]].astype(np.float32) - flat[pairs[:, 1]]
    return np.asarray(np.sqrt((gap**2).mean(axis=1)), np.float32)
