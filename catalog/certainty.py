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


def certain_at(
    rule: Thresholds,
    labels: Sequence[str],
    taxonomy: Taxonomy,
    confidences: NDArray[np.floating],
    *,
    reasons: Collection[FlagReason],
    declared: str | None = None,
) -> str | None:
    """The lowest level that is certain of one tagging, confidences (classes,); None: none is.

    Where the sender declared something else, only a level on which both agree counts.
    """
    if DOUBTFUL & set(reasons):
        return None
    label = labels[int(confidences.argmax())]
    levels = (label, *taxonomy.ancestors(label))
    if FlagReason.DECLARED_LABEL_CONFLICT in reasons:
        said = taxonomy.find(declared or "")
        levels = tuple(each for each in levels if said and taxonomy.agrees(each, said))
    for level in levels:
        [confidence] = level_confidences(confidences[None], labels, taxonomy, level)
        if confidence >= rule.acceptance.confidence_min.get(level, NEVER):
            return level
    return None
