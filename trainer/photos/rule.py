"""When a photo needs no person: fitted on words that were spoken out of fold."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from catalog.acceptance import flags
from catalog.statistics import log_sum_exp, softmax
from catalog.taxonomy.model import Taxonomy
from trainer.level_acceptance import with_parents
from trainer.photo_rule import FittedRule, PhotoRuleConfig, fit_photo_rule

# Thousands of photos can prove more of a single category than a shop's corrections can. Few shares
# of false alarms: the doubt is shared between them.
PROMISE = PhotoRuleConfig(precision=0.97, class_precision=0.9, false_alarms=(0.02, 0.1))


def strangeness_of(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much more a photo looks like a stranger than like any category, in nats, float32 (N,).

    scores: float32 (N, C + 1), the strangers' last.
    """
    return np.asarray(scores[:, -1] - log_sum_exp(scores[:, :-1].astype(np.float64)), np.float32)


def labels_in_view(logits: NDArray[np.float32], targets: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The label of each photo, int64 (N,), -1 for strangers.

    Where several are allowed, the likeliest of them.
    """
    allowed = np.where(targets[:, :-1], logits, -np.inf).argmax(axis=1)
    return np.asarray(np.where(targets[:, -1], -1, allowed), np.int64)


def fit_rule(
    logits: NDArray[np.float32],
    scores: NDArray[np.float32],
    targets: NDArray[np.bool_],
    taxonomy: Taxonomy,
    promise: PhotoRuleConfig = PROMISE,
) -> FittedRule:
    """Temperature, strangeness and confidences that keep the promise, strangers as wrong.

    logits: float32 (N, C). scores: float32 (N, C + 1), the photo network's, whose last are the
    strangers'. targets: bool (N, C + 1), what is allowed.
    """
    truth, strangeness = labels_in_view(logits, targets), strangeness_of(scores)
    fitted = fit_photo_rule(logits, truth, strangeness, promise, taxonomy.ids)
    rule = with_parents(fitted.rule, logits, truth, strangeness, taxonomy.ids, taxonomy)
    return replace(fitted, rule=rule)


def accepted_by(
    fitted: FittedRule, scores: NDArray[np.float32], labels: tuple[str, ...]
) -> NDArray[np.bool_]:
    """Which photos need no person by a rule, bool (N,). scores: float32 (N, C + 1)."""
    confidences = softmax(scores[:, :-1], fitted.rule.temperature)
    return flags(fitted.rule, labels, confidences, strangeness=strangeness_of(scores)).accepted
