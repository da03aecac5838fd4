"""From which probability on a parent is certain, although the label under it is not."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalog.acceptance import NEVER, Thresholds, least_confidences
from catalog.certainty import certain_levels, level_confidences
from catalog.networks import Acceptance, PhotoRule
from catalog.statistics import error_at_most, softmax
from catalog.taxonomy.model import Taxonomy
from trainer.acceptance import lowest_safe_confidence

# Whoever uses a coarse label at once gets this much, however little is promised of single labels.
PARENT_PRECISION_MIN = 0.95


def fit_parents(
    confidences: NDArray[np.float64],
    labels: NDArray[np.int64],
    names: Sequence[str],
    taxonomy: Taxonomy,
    acceptance: Acceptance,
) -> dict[str, float]:
    """The lowest probability at which each parent keeps what is promised of it, NEVER if none.

    That is what is promised of a single label, and PARENT_PRECISION_MIN at least.

    confidences (N, classes) in the order of `names`; labels int64 (N,), -1 for strangers. Fitted
    on what its own label does not accept: the others are certain already, and would lend their
    rightness to those that are not.
    """
    predicted = confidences.argmax(axis=1)
    least = least_confidences(acceptance, names)
    open_ = confidences.max(axis=1) < least[predicted]
    found = {}
    for parent in taxonomy.parents:
        below = _places(names, taxonomy, parent)
        mine = open_ & np.isin(predicted, below)
        confidence = level_confidences(confidences, names, taxonomy, parent)
        found[parent] = (
            lowest_safe_confidence(
                confidence[mine],
                np.isin(labels[mine], below),
                precision=max(acceptance.class_precision, PARENT_PRECISION_MIN),
                level=acceptance.guarantee_level,
            )
            if mine.any()
            else NEVER
        )
    return found


def with_parents(
    rule: PhotoRule,
    logits: NDArray[np.float32],
    truth: NDArray[np.int64],
    strangeness: NDArray[np.float32],
    names: Sequence[str],
    taxonomy: Taxonomy,
) -> PhotoRule:
    """A photo rule with thresholds for the parents, from what it was fitted on."""
    familiar = strangeness <= rule.out_of_taxonomy_threshold
    confidences = softmax(logits[familiar], rule.temperature)
    parents = fit_parents(confidences, truth[familiar], names, taxonomy, rule.acceptance)
    least = {**rule.acceptance.confidence_min, **parents}
    return replace(rule, acceptance=replace(rule.acceptance, confidence_min=least))


def by_level(
    rule: Thresholds,
    confidences: NDArray[np.float64],
    labels: NDArray[np.int64],
    names: Sequence[str],
    taxonomy: Taxonomy,
) -> dict[str, dict[str, Any]]:
    """Selective accuracy: what is certain as a label, and what only as each parent."""
    predicted = confidences.argmax(axis=1)
    certain = certain_levels(rule, names, taxonomy, confidences)
    level = rule.acceptance.guarantee_level
    itself = certain == np.array(names, object)[predicted]
    found = {"label": _figures(itself, predicted == labels, level)}
    # The nearest to the labels first, as they speak first.
    for parent in sorted(taxonomy.parents, key=lambda each: _height(taxonomy, each)):
        right = np.isin(labels, _places(names, taxonomy, parent))
        found[parent] = _figures(certain == parent, right, level)
    nowhere = np.array([each is None for each in certain], bool)
    found["none"] = {"coverage": float(nowhere.mean()), "count": int(nowhere.sum())}
    return found


def _figures(certain: NDArray[np.bool_], right: NDArray[np.bool_], level: float) -> dict[str, Any]:
    count, wrong = int(certain.sum()), int((certain & ~right).sum())
    return {
        "coverage": float(certain.mean()),
        "count": count,
        "precision": 1 - wrong / count if count else None,
        "precision_at_least": 1 - error_at_most(wrong, count, level),
    }


def _places(names: Sequence[str], taxonomy: Taxonomy, parent: str) -> list[int]:
    below = set(taxonomy.below(parent))
    return [place for place, name in enumerate(names) if name in below]


def _height(taxonomy: Taxonomy, parent: str) -> int:
    """How many levels of parents are below it."""
    above = [parent]
    children = [each for each in taxonomy.parents if taxonomy.by_id[each].parent in above]
    return 1 + max(_height(taxonomy, each) for each in children) if children else 0
