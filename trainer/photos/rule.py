"""When a photo needs no person: fitted on words that were spoken out of fold."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalog.statistics import error_at_most, fit_temperature, softmax
from trainer.acceptance import fit_acceptance
from trainer.strangeness import separation

# Shares of known photos that may be called strange; the one that accepts most is taken.
FALSE_ALARMS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)


@dataclass(frozen=True, kw_only=True)
class Promise:
    """What is promised of accepted photos: right at least this often, all and of each category,
    proved at the level."""

    precision: float = 0.97
    class_precision: float = 0.9
    level: float = 0.95


@dataclass(frozen=True, kw_only=True)
class PhotoNetworkRule:
    """temperature of the confidences; least: float64 (C,), the least accepted confidence of each
    category; strangeness_max: above it a photo is flagged; figures: of the photos it was fitted on.
    """

    temperature: float
    least: NDArray[np.float64]
    strangeness_max: float
    figures: Mapping[str, Any]


def strangeness_of(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much more a photo looks like a stranger than like any category, in nats, float32 (N,).

    scores: float32 (N, C + 1), the strangers' last.
    """
    known = scores[:, :-1].astype(np.float64)
    peak = known.max(axis=1)
    together = peak + np.log(np.exp(known - peak[:, None]).sum(axis=1))
    return np.asarray(scores[:, -1] - together, np.float32)


def labels_in_view(logits: NDArray[np.float32], targets: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The label of each photo, int64 (N,), -1 for strangers.

    Where several are allowed, the likeliest of them.
    """
    allowed = np.where(targets[:, :-1], logits, -np.inf).argmax(axis=1)
    return np.asarray(np.where(targets[:, -1], -1, allowed), np.int64)


def fit_rule(
    logits: NDArray[np.float32],
    strangeness: NDArray[np.float32],
    targets: NDArray[np.bool_],
    promise: Promise,
) -> PhotoNetworkRule:
    """Temperature, strangeness and confidences that keep the promise, strangers as wrong.

    logits float32 (N, C); strangeness float32 (N,), higher is stranger; targets bool (N, C + 1).
    The doubt is shared between the ways that are tried (Bonferroni).
    """
    labels = labels_in_view(logits, targets)
    known = labels >= 0
    temperature = fit_temperature(logits[known], labels[known])
    confidences = softmax(logits, temperature)
    level = 1 - (1 - promise.level) / len(FALSE_ALARMS)
    best: PhotoNetworkRule | None = None
    for alarms in FALSE_ALARMS:
        most = float(np.quantile(strangeness[known], 1 - alarms))
        familiar = strangeness <= most
        least = fit_acceptance(
            confidences[familiar],
            labels[familiar],
            precision=promise.precision,
            class_precision=promise.class_precision,
            level=level,
        )
        figures = rule_figures(confidences, strangeness, labels, least, most)
        if best is None or figures["accepted_coverage"] > best.figures["accepted_coverage"]:
            best = PhotoNetworkRule(
                temperature=temperature, least=least, strangeness_max=most, figures=figures
            )
    assert best is not None
    return best


def rule_figures(
    confidences: NDArray[np.float64],
    strangeness: NDArray[np.float32],
    labels: NDArray[np.int64],
    least: NDArray[np.float64],
    strangeness_max: float,
) -> dict[str, Any]:
    """What a rule does: shares 0-1. Strangers are wrong wherever they are accepted."""
    predicted, known = confidences.argmax(axis=1), labels >= 0
    accepted = (confidences.max(axis=1) >= least[predicted]) & (strangeness <= strangeness_max)
    wrong, count = int((accepted & (predicted != labels)).sum()), int(accepted.sum())
    both = known.any() and (~known).any()
    return {
        "photos": int(known.sum()),
        "strangers": int((~known).sum()),
        "accuracy": float((predicted == labels)[known].mean()),
        "accepted_coverage": float(accepted[known].mean()),
        "accepted": count,
        "accepted_wrong": wrong,
        "accepted_wrong_at_most": error_at_most(wrong, count, 0.95),
        "strangers_flagged": float((~accepted[~known]).mean()) if (~known).any() else None,
        "strangers_auroc": separation(strangeness[known], strangeness[~known]) if both else None,
    }
