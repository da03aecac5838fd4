"""Scores for how little an image looks like any of the ten classes (higher is stranger)."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Score = Callable[
    [NDArray[np.float32], NDArray[np.float32], Mapping[str, NDArray[np.float32]]],
    NDArray[np.float32],
]


def energy(
    logits: NDArray[np.float32],
    embedding: NDArray[np.float32],
    parameters: Mapping[str, NDArray[np.float32]],
) -> NDArray[np.float32]:
    """Minus the log-sum-exp of the logits, float32 (N,) (Liu et al. 2020, arXiv 2010.03759)."""
    peak = logits.max(axis=1)
    total = np.exp(logits - peak[:, None]).sum(axis=1)
    return np.asarray(-(peak + np.log(total)), np.float32)


SCORES: Mapping[str, Score] = {"energy": energy}
