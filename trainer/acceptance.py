"""The acceptance rule: above which confidence no person need look, with a guarantee."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from catalog.acceptance import NEVER
from catalog.statistics import error_at_most

# Errors that the fewest items tried may hold: one stray label is to end no search.
WRONG = 2


def lowest_safe_confidence(
    confidence: NDArray[np.float64],
    right: NDArray[np.bool_],
    *,
    precision: float,
    level: float,
    first: Sequence[int] | None = None,
) -> float:
    """The lowest threshold above which accepted items err at most 1 - `precision`, by the bound.

    Many thresholds are looked at, and the bound must still hold for the one chosen: they are
    tested in an order fixed beforehand, from strict to lax, up to the first that fails
    (fixed-sequence testing; Angelopoulos et al. 2021, arXiv 2110.01052). Several such sequences
    share the doubt between them. `first` says with how many items each starts; without it, one
    starts at the surest half of the items, so that one early error does not end it, the other with
    the fewest items that could pass. NEVER where all fail.
    """
    order = np.argsort(-confidence, kind="stable")
    ordered, wrong = confidence[order], np.cumsum(~right[order])
    shared = 1 - (1 - level) / (2 if first is None else len(first))
    chosen = NEVER
    for start in (len(order) // 2, fewest_items(precision, shared)) if first is None else first:
        for accepted in steps(start, len(order)):
            threshold = float(ordered[accepted - 1])
            # Ties are accepted together.
            inside = int(np.count_nonzero(ordered >= threshold))
            if error_at_most(int(wrong[inside - 1]), inside, shared) > 1 - precision:
                break
            chosen = min(chosen, threshold)
    return chosen


def fewest_items(precision: float, level: float, wrong: int = WRONG) -> int:
    """How many items it takes to prove `precision` although some of them are `wrong`."""
    items = wrong + 1
    while error_at_most(wrong, items, level) > 1 - precision:
        items += max(1, items // 20)
    return items


def steps(first: int, last: int) -> list[int]:
    """Numbers of accepted items to try: from `first` up to `last`, a hundredth a step."""
    if not 0 < first <= last:
        return []
    return sorted({round(count) for count in np.linspace(first, last, 101)})


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
            error_at_most(int(np.count_nonzero(~accepted)), len(accepted), level)
            > 1 - class_precision
        ):
            own = lowest_safe_confidence(
                confidence[mine], right[mine], precision=class_precision, level=level
            )
            thresholds[label] = max(overall, own)
    return thresholds
