"""How far confidences can be believed: temperature scaling and its measures."""

import numpy as np
from numpy.typing import NDArray

BINS = 15


def brier_score(confidences: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Mean squared distance to the one-hot label, summed over classes, 0-2 (Brier 1950)."""
    target = np.eye(confidences.shape[1])[labels]
    return float(((confidences - target) ** 2).sum(axis=1).mean())


def reliability(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    """For each bin between `edges`: mean confidence, share right, number of items, (B, 3)."""
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, len(edges) - 2)
    count = np.bincount(place, minlength=len(edges) - 1)
    safe = np.maximum(count, 1)
    mean = np.bincount(place, weights=confidence, minlength=len(edges) - 1) / safe
    share = np.bincount(place, weights=right.astype(float), minlength=len(edges) - 1) / safe
    return np.stack([mean, share, count], axis=1)


def expected_calibration_error(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], *, adaptive: bool = False
) -> float:
    """Mean gap between confidence and share right, over 15 bins weighted by their items, 0-1.

    Bins of equal width (Naeini et al. 2015), or of equal count where `adaptive`
    (Nixon et al. 2019, arXiv 1904.01685).
    """
    edges = np.linspace(0, 1, BINS + 1)
    if adaptive:
        edges = np.quantile(confidence, edges)
        edges[0], edges[-1] = 0.0, 1.0
    mean, share, count = reliability(confidence, right, edges).T
    return float((np.abs(mean - share) * count).sum() / count.sum())
