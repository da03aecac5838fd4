"""Which of several allowed categories a photo is: told apart by what ImageNet's words say of it.

A loss that lets a network choose among allowed categories lets it choose one of them always. So
each photo is given the ones that it resembles most, each of them as often, by a network that has
learned from no photo yet.
"""

import numpy as np
from numpy.typing import NDArray

ROUNDS = 50
# What has less than this share of a photo is no longer allowed of it.
SHARE_MIN = 0.25


def is_ambiguous(targets: NDArray[np.bool_]) -> bool:
    """Whether any photo, bool (N, C + 1), is allowed several categories."""
    return bool((targets.sum(axis=1) > 1).any())


def resolved(scores: NDArray[np.float32], targets: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The targets, bool (N, C + 1), with fewer categories allowed where there were several.

    scores: float32 (N, C + 1), of a network that saw none of these photos. Sinkhorn's iteration
    (Cuturi 2013, arXiv 1306.0895) makes the categories of one set equally frequent.
    """
    targets = targets.copy()
    for allowed in np.unique(targets[targets.sum(axis=1) > 1], axis=0):
        rows = np.flatnonzero((targets == allowed).all(axis=1))
        columns = np.flatnonzero(allowed)
        own = scores[rows][:, columns].astype(np.float64)
        share = np.exp(own - own.max(axis=1, keepdims=True))
        for _ in range(ROUNDS):
            share /= np.maximum(share.sum(axis=0), 1e-12) * len(columns) / len(rows)
            share /= share.sum(axis=1, keepdims=True)
        # Of so many equally likely ones that none has its share, the likeliest.
        kept = share >= min(SHARE_MIN, 1 / len(columns))
        kept |= share == share.max(axis=1, keepdims=True)
        targets[rows] = False
        targets[rows[:, None], columns] = kept
    return targets
