"""The statistics that all parts share: confidences, bounds on error rates, agreement, drift.

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
# Bins of which fewer are expected in the day and in the days before are taken together.
EXPECTED_MIN = 1.0
# With fewer days, or items, there is nothing to say of how much days differ by themselves.
DRIFT_DAYS_MIN = 3
DRIFT_ITEMS_MIN = 20


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


@dataclass(frozen=True, kw_only=True)
class Drift:
    """A day against the days before it.

    p: how probable a difference of this size is where nothing has changed. moved: the share of
    items that are elsewhere than before, 0-1 (the total variation distance). alike: the
    correlation of items of one day, 0-1; 0 where days differ no more than items by themselves.
    """

    p: float
    moved: float
    alike: float


def drift(before: NDArray[np.int64], after: NDArray[np.int64]) -> Drift | None:
    """Whether the mix of a day is another one than that of the days before.

    before: counts (days, bins); after: counts (bins,). Products come in deliveries and not one by
    one, so that two days differ by more than chance among items alone explains, the larger ones
    most, and a plain chi-square test cries wolf in every shop that is large enough. So n items of
    one day count as n / (1 + (n - 1) r), the design effect of clusters (Kish 1965), with the r at
    which the days before differ as they should; the chi-square of what they count as is judged by
    the F distribution, as r is an estimate (Rao & Scott 1984).

    None where there is too little to judge: few items, fewer than three days, or one bin.
    """
    before = before[before.sum(axis=1) > 0]
    whole, size = before.sum(axis=0), int(after.sum())
    if len(before) < DRIFT_DAYS_MIN or min(size, int(whole.sum())) < DRIFT_ITEMS_MIN:
        return None
    share = size / (size + whole.sum())
    pooled = _pooled((whole + after) * min(share, 1 - share))
    before, after = before @ pooled, after @ pooled
    bins = len(after)
    if bins < 2:
        return None
    free = max(1, (len(before) - 1) * (int(np.count_nonzero(before.sum(axis=0))) - 1))
    alike = max(_alike(before, free, each) for each in (_freeman_tukey, _pearson))
    counted = np.stack([_effective(before, alike).sum(axis=0), _effective(after[None], alike)[0]])
    moved = np.abs(before.sum(axis=0) / before.sum() - after / size).sum() / 2
    return Drift(
        p=f_tail(_freeman_tukey(counted) / (bins - 1), bins - 1, free),
        moved=float(moved),
        alike=alike,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """The p values of many tests, raised so that all of them may be held against one level.

    The probability of any false alarm is at most that level, however the tests hang together
    (Holm 1979).
    """
    found = [1.0] * len(p_values)
    highest = 0.0
    for rank, at in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[at]))
        found[at] = highest
    return found


def f_tail(value: float, numerator_free: int, denominator_free: int) -> float:
    """P(F > value) for these degrees of freedom (Abramowitz & Stegun, 26.6.2)."""
    if value <= 0:
        return 1.0
    x = denominator_free / (denominator_free + numerator_free * value)
    return _incomplete_beta(denominator_free / 2, numerator_free / 2, x)


def _freeman_tukey(counts: NDArray[np.floating]) -> float:
    """Their chi-square statistic (1950) of rows (samples, bins) that are all of one mix.

    Its square roots keep rare bins in bounds, which fill up on some days.
    """
    residuals = np.sqrt(counts) + np.sqrt(counts + 1) - np.sqrt(4 * _expected(counts) + 1)
    return float(np.square(residuals).sum())


def _pearson(counts: NDArray[np.floating]) -> float:
    """The same by Pearson (1900): it sees more in small counts."""
    expected = _expected(counts)
    return float((np.square(counts - expected) / np.maximum(expected, TINY)).sum())


def _expected(counts: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.asarray(np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum(), np.float64)


def _effective(counts: NDArray[np.int64], alike: float) -> NDArray[np.float64]:
    """What the items of each day (days, bins) count as, where they are alike by so much."""
    sizes = counts.sum(axis=1, keepdims=True)
    return np.asarray(counts / (1 + np.maximum(sizes - 1, 0) * alike), np.float64)


def _alike(
    before: NDArray[np.int64], free: int, statistic: Callable[[NDArray[np.floating]], float]
) -> float:
    """The correlation at which the days' statistic is what it should be, by bisection."""
    if statistic(before.astype(np.float64)) <= free:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(24):
        middle = (low + high) / 2
        if statistic(_effective(before, middle)) > free:
            low = middle
        else:
            high = middle
    return high


def _pooled(expected: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which bins to take together, as a matrix (bins, groups) of 0 and 1, so that none is small."""
    small = expected < EXPECTED_MIN
    columns = [np.arange(len(expected)) == each for each in np.flatnonzero(~small)]
    rest = float(expected[small].sum())
    if rest and (rest >= EXPECTED_MIN or not columns):
        columns.append(small)
    elif rest:
        least = int(np.argmin(np.where(small, np.inf, expected)))
        at = int(np.flatnonzero(np.flatnonzero(~small) == least)[0])
        columns[at] = columns[at] | small
    return np.stack(columns, axis=1).astype(np.int64)


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b), by its continued fraction.

    Abramowitz & Stegun, 26.5.8, summed as Lentz (1976) does it.
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, 1 - x)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
        + a * math.log(x) + b * math.log1p(-x)
    )  # fmt: skip
    c, d = 1.0, 1 / _apart_from_zero(1 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, 10_000):
        change = 1.0
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _apart_from_zero(1 + step * d)
            c = _apart_from_zero(1 + step / c)
            change = c * d
            fraction *= change
        if abs(change - 1) < 1e-14:
            break
    return min(1.0, front * fraction / a)


def _apart_from_zero(value: float) -> float:
    return value if abs(value) > TINY else TINY


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
