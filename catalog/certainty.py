"""At which level a tagging is certain: its label, or a parent of it.

Where a shirt might be a pullover, Tops may still be certain: the probability of a parent is the
sum of those of the labels under it, and the acceptance rule names parents too, with the lowest
probability that keeps the promised precision. A sender may use the coarse label at once.
"""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from catalog.acceptance import NEVER, Thresholds
from catalog.outcomes import FlagReason
from catalog.taxonomy.model import Taxonomy

# What makes a label certain of nothing, its parents neither.
DOUBTFUL = frozenset({FlagReason.OUT_OF_TAXONOMY, FlagReason.POOR_IMAGE})


def level_confidences(
    confidences: NDArray[np.floating], labels: Sequence[str], taxonomy: Taxonomy, category: str
) -> NDArray[np.float64]:
    """The probability of a category, float64 (N,), of confidences (N, classes) by label."""
    below = set(taxonomy.below(category))
    mine = np.array([label in below for label in labels], bool)
    summed = np.asarray(confidences, np.float64)[:, mine].sum(axis=1)
    return np.asarray(np.minimum(1.0, summed), np.float64)


def certain_levels(
    rule: Thresholds,
    labels: Sequence[str],
    taxonomy: Taxonomy,
    confidences: NDArray[np.floating],
) -> NDArray[np.object_]:
    """The lowest level that is certain of each of N taggings, by confidence alone: object (N,).

    confidences (N, classes) in the order of `labels`. The label itself, the nearest parent that is
    certain, or None.
    """
    predicted = confidences.argmax(axis=1)
    found = np.full(len(predicted), None, object)
    for place in np.unique(predicted):
        levels = (labels[place], *taxonomy.ancestors(labels[place]))
        rows = predicted == place
        found[rows] = _first_certain(rule, labels, taxonomy, confidences[rows], levels)
    return found


def certain_at(
    rule: Thresholds,
    labels: Sequence[str],
    taxonomy: Taxonomy,
    confidences: NDArray[np.floating],
    *,
    reasons: Collection[FlagReason],
    declared: str | None = None,
) -> str | None:
    """The same for one tagging, confidences (classes,), and whatever else speaks against it.

    Where the sender declared something else, only a level on which both agree counts.
    """
    if DOUBTFUL & set(reasons):
        return None
    label = labels[int(confidences.argmax())]
    levels = (label, *taxonomy.ancestors(label))
    if FlagReason.DECLARED_LABEL_CONFLICT in reasons:
        said = taxonomy.find(declared or "")
        levels = tuple(each for each in levels if said and taxonomy.agrees(each, said))
    found: str | None = _first_certain(rule, labels, taxonomy, confidences[None], levels)[0]
    return found


def _first_certain(
    rule: Thresholds,
    labels: Sequence[str],
    taxonomy: Taxonomy,
    confidences: NDArray[np.floating],
    levels: Sequence[str],
) -> NDArray[np.object_]:
    """The first of `levels` that is certain of each of N taggings, None where none is."""
    found = np.full(len(confidences), None, object)
    for level in reversed(levels):
        least = rule.acceptance.confidence_min.get(level, NEVER)
        found[level_confidences(confidences, labels, taxonomy, level) >= least] = level
    return found
