"""How far pictures are from those that the same network saw first, by their embeddings."""

import numpy as np
from numpy.typing import NDArray

from catalog.drift import DISTANCE_BINS
from catalog.out_of_taxonomy import unit


def distances(embeddings: NDArray[np.float32], sample: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosine distances (N,), 0-2, of embeddings (N, d) to the nearest of a sample (M, d)."""
    nearest: NDArray[np.float32] = (unit(embeddings) @ unit(sample).T).max(axis=1)
    return 1 - nearest


def edges_of(sample: NDArray[np.float32]) -> list[float]:
    """Where to cut the distances: a tenth of the sample lies between two of them, by itself."""
    alike = unit(sample) @ unit(sample).T
    np.fill_diagonal(alike, -1.0)
    cuts = np.linspace(0, 1, DISTANCE_BINS + 1)[1:-1]
    return [float(each) for each in np.quantile(1 - alike.max(axis=1), cuts)]
