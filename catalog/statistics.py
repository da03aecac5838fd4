"""The statistics that all parts share: confidences, bounds on error rates, proportions, agreement.

The standard library and NumPy only.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Z_95 = 1.959963984540054
TEMPERATURES = (0.05, 20.0)
# Below every confidence that float32 can tell from zero in a logarithm.
TINY = 1e-30


def softmax(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float64]:
    """Confidences float64 (…, classes) of logits of that shape; they sum to 1.

    In float64 whatever the logits are, so that a worker that tags one photo and a trainer that
    judges a thousand find the same confidence.
    """
    scaled = np.asarray(logits, np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def at_temperature(
    confidences: NDArray[np.floating], made_at: float, wanted: float
) -> NDArray[np.float32]:
    """Confidences (…, classes) of softmax(logits / made_at) as softmax(logits / wanted)."""
    if made_at == wanted:
        return np.asarray(confidences, np.float32)
    return softmax(np.log(np.maximum(confidences, TINY)), wanted / made_at).astype(np.float32)


def mixed(
    one: NDArray[np.floating], one_weight: float, two: NDArray[np.floating], two_weight: float
) -> NDArray[np.float32]:
    """Two networks' confidences (…, classes), multiplied with these powers; they sum to 1."""
    logs = [np.log(np.maximum(np.asarray(each, np.float64), TINY)) for each in (one, two)]
    return softmax(one_weight * logs[0] + two_weight * logs[1]).astype(np.float32)


def log_sum_exp(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """log Σ exp over the last axis, in the type of the values."""
    peak = values.max(axis=-1)
    return np.asarray(peak + np.log(np.exp(values - peak[..., None]).sum(axis=-1)))


def negative_log_likelihood(
    confidences: NDArray[np.floating],
    truth: NDArray[np.int64],
    weights: NDArray[np.float64] | None = None,
) -> float:
    """Weighted mean of minus the log of the true class's confidence, in nats."""
    own = np.maximum(confidences[np.arange(len(truth)), truth], 1e-12)
    return float(-np.average(np.log(own), weights=weights))


def fit_temperature(
    logits: NDArray[np.floating],
    truth: NDArray[np.int64],
    weights: NDArray[np.float64] | None = None,
) -> float:
    """The temperature of least negative log-likelihood (Guo et al. 2017, arXiv 1706.04599).

    logits (N, classes), or logarithms of confidences: then how much softer these should be.
    weights: how many items each one stands for.
    """
    low, high = (math.log(bound) for bound in TEMPERATURES)
    return math.exp(
        _lowest(
            lambda log_t: negative_log_likelihood(softmax(logits, math.exp(log_t)), truth, weights),
            low,
            high,
        )
    )


def error_at_most(wrong: int, count: int, level: float) -> float:
    """The upper one-sided bound on an error rate of Clopper and Pearson (1934), 0-1; 1 of nothing.

    Were the rate any higher, so few errors would show with probability 1 - `level` at most.
    """
    if wrong >= count:
        return 1.0
    k = np.arange(wrong + 1)
    ways = _log_factorials(count)[count] - _log_factorials(count)[[k, count - k]].sum(axis=0)
    wanted = math.log(1 - level)
    # Newton's method on the logarithm of P(at most `wrong` errors), which is concave in the rate:
    # from above, where Hoeffding's inequality puts the start, it comes down and never overshoots.
    rate = min(1 - 1e-9, wrong / count + math.sqrt(-wanted / (2 * count)))
    for _ in range(100):
        terms = ways + k * math.log(rate) + (count - k) * math.log1p(-rate)
        found = float(log_sum_exp(terms))
        slope = (count - wrong) / (1 - rate) * math.exp(terms[-1] - found)
        step = (wanted - found) / slope
        rate -= step
        if step < 1e-14:
            break
    return rate


def error_at_least(wrong: int, count: int, level: float) -> float:
    """The lower one-sided Clopper-Pearson bound on an error rate, 0-1; 0 of nothing."""
    return 0.0 if wrong == 0 else 1 - error_at_most(count - wrong, count, level)


@dataclass(frozen=True, kw_only=True)
class Proportion:
    """`right` of `whole`."""

    right: int
    whole: int

    @classmethod
    def of(cls, outcomes: Iterable[bool]) -> "Proportion":
        """Count outcomes."""
        known = list(outcomes)
        return cls(right=sum(known), whole=len(known))

    @property
    def share(self) -> float | None:
        """0-1; None of nothing."""
        return self.right / self.whole if self.whole else None

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of Wilson (1927), which holds for few samples and shares near 1.

        Nothing known gives 0 to 1.
        """
        if not self.whole:
            return 0.0, 1.0
        n, share = self.whole, self.right / self.whole
        centre = (share + Z_95**2 / (2 * n)) / (1 + Z_95**2 / n)
        half = math.sqrt(share * (1 - share) / n + Z_95**2 / (4 * n * n)) / (1 + Z_95**2 / n)
        return max(0.0, centre - Z_95 * half), min(1.0, centre + Z_95 * half)


def cohens_kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """How far two people agree beyond chance: 1 always, 0 as chance would (Cohen 1960).

    None without pairs, and where chance alone explains all: both always say the same one label.
    """
    if not pairs:
        return None
    n = len(pairs)
    observed = sum(first == second for first, second in pairs) / n
    firsts, seconds = (Counter(each[side] for each in pairs) for side in (0, 1))
    by_chance = sum(firsts[label] * seconds[label] for label in firsts) / n**2
    return None if by_chance == 1 else (observed - by_chance) / (1 - by_chance)


@lru_cache(maxsize=1)
def _log_factorial_table(size: int) -> NDArray[np.float64]:
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, size + 1)))])


def _log_factorials(count: int) -> NDArray[np.float64]:
    """log n! for n = 0 to `count` and beyond, from a table that doubles as needed."""
    return _log_factorial_table(1 << max(12, count.bit_length()))


def _lowest(loss: Callable[[float], float], low: float, high: float) -> float:
    """Where a function of one valley is lowest, by golden section."""
    ratio = (math.sqrt(5) - 1) / 2
    for _ in range(60):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    return (low + high) / 2
