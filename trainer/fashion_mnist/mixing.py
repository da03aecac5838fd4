"""Mix the images of a batch, and their labels with them."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Batch = tuple[NDArray[np.float32], NDArray[np.float32]]
MIXUP_ALPHA = 0.2


def mixup(images: NDArray[np.float32], labels: NDArray[np.float32], rng: Generator) -> Batch:
    """Each image faded into another one of the batch (Zhang et al. 2017, arXiv 1710.09412).

    images: float32 (N, H, W, 1); labels: one-hot float32 (N, classes), mixed in the same share.
    """
    share = np.float32(rng.beta(MIXUP_ALPHA, MIXUP_ALPHA))
    other = rng.permutation(len(images))
    return (
        share * images + (1 - share) * images[other],
        share * labels + (1 - share) * labels[other],
    )


def cutmix(images: NDArray[np.float32], labels: NDArray[np.float32], rng: Generator) -> Batch:
    """A rectangle of each image from another one (Yun et al. 2019, arXiv 1905.04899).

    images: float32 (N, H, W, 1); labels: one-hot float32 (N, classes), mixed by area.
    """
    height, width = images.shape[1:3]
    side = np.sqrt(rng.uniform(0, 1))
    rows, columns = round(height * side), round(width * side)
    top, left = rng.integers(0, height - rows + 1), rng.integers(0, width - columns + 1)
    other = rng.permutation(len(images))
    mixed = images.copy()
    place = np.s_[:, top : top + rows, left : left + columns]
    mixed[place] = images[other][place]
    share = np.float32(rows * columns / (height * width))
    return mixed, (1 - share) * labels + share * labels[other]


MIXES: Mapping[str, Callable[..., Batch]] = {"mixup": mixup, "cutmix": cutmix}
