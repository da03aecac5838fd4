"""The acceptance rule: above which confidence no person need look, with a guarantee."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

# A confidence above 1 never occurs: nothing is accepted.
NEVER = 2.0


def error_bound(wrong: int, accepted: int, level: float) -> float:
    """The upper one-sided Clopper-Pearson bound on the error rate, 0-1, at confidence `level`."""
    if accepted == 0 or wrong >= accepted:
        return 1.0
    return float(beta.ppf(level, wrong + 1, accepted - wrong))


def lowest_safe_confidence(
    confidence: NDArray[np.float64],
    right: NDArray[np.bool_],
    *,
    precision: float,
    level: float,
) -> float:
    """The lowest threshold above which accepted items err at most 1 - `precision`, by the bound.

    The candidates are tested from the strictest down and the search stops at the first that
    fails (fixed-sequence testing), so that the bound holds for the one chosen although many were
    looked at. NEVER where even the strictest fails.
    """
    order = np.argsort(-confidence, kind="stable")
    wrong = np.cumsum(~right[order])
    chosen = NEVER
    for accepted in candidates(len(order), precision, level):
        threshold = float(confidence[order[accepted - 1]])
        inside = int(np.count_nonzero(confidence >= threshold))
        if error_bound(int(wrong[inside - 1]), inside, level) > 1 - precision:
            break
        chosen = threshold
    return chosen


def candidates(items: int, precision: float, level: float) -> list[int]:
    """How many of the most confident items each threshold tried accepts, fewest first.

    Starts where the bound could hold with an error or two, goes on in steps of a hundredth.
    """
    if items == 0:
        return []
    start = int(np.ceil(np.log(1 - level) / np.log(precision)))
    while start < items and error_bound(2, start, level) > 1 - precision:
        start += max(1, start // 20)
    return sorted({min(items, round(n)) for n in np.linspace(min(start, items), items, 101)})


def fit_acceptance(
    confidences: NDArray[np.float64],
    labels: NDArray[np.int64],
    *,
    precision: float,
    class_precision: float,
    level: float,
) -> NDArray[np.float64]:
    """The lowest accepted confidence of each predicted class, float64 (10,).

    One threshold for all that keeps `precision`; then a stricter one for each class whose own
    accepted items cannot be shown to keep the looser `class_precision` at that threshold. A class
    has a tenth of the items, so that the same promise could be proved for hardly any.
    """
    predicted, confidence = confidences.argmax(axis=1), confidences.max(axis=1)
    right = predicted == labels
    overall = lowest_safe_confidence(confidence, right, precision=precision, level=level)
    thresholds = np.full(confidences.shape[1], overall)
    for label in range(confidences.shape[1]):
        mine = predicted == label
        accepted = right[mine & (confidence >= overall)]
        if (
            error_bound(int(np.count_nonzero(~accepted)), len(accepted), level)
            > 1 - class_precision
        ):
            own = lowest_safe_confidence(
                confidence[mine], right[mine], precision=class_precision, level=level
            )
            thresholds[label] = max(overall, own)
    return thresholds
