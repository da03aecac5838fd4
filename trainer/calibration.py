"""How far confidences can be believed: temperature scaling and its measures."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

BINS = 15


def softmax(logits: NDArray[np.float32], temperature: float = 1.0) -> NDArray[np.float64]:
    """Confidences float64 (N, 10), each row summing to 1."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The temperature of least negative log-likelihood (Guo et al. 2017, arXiv 1706.04599)."""
    fitted = minimize_scalar(
        lambda log_t: negative_log_likelihood(softmax(logits, float(np.exp(log_t))), labels),
        bounds=(np.log(0.05), np.log(20.0)),
        method="bounded",
    )
    return float(np.exp(fitted.x))


def negative_log_likelihood(confidences: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Mean of minus the log of the true class's confidence, in nats."""
    own = confidences[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(own, 1e-12)).mean())


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
