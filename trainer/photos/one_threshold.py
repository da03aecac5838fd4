"""One threshold for all labels, on how sure and how familiar a photo is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from catalog.acceptance import NEVER
from catalog.networks import Acceptance, PhotoRule
from catalog.statistics import error_at_most
from trainer.photo_rule import FittedRule, PhotoRuleConfig, rule_figures

# So that the photo at the threshold is not lost to the last digit, in nats.
ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Said:
    """What was said of N photos out of fold, at the temperature that serves.

    confidences: float64 (N, C); strangeness: float32 (N,), in nats; truth: int64 (N,), -1 for
    strangers.
    """

    confidences: NDArray[np.float64]
    strangeness: NDArray[np.float32]
    truth: NDArray[np.int64]

    @property
    def named(self) -> NDArray[np.int64]:
        """The place of each one's likeliest label, int64 (N,)."""
        return np.asarray(self.confidences.argmax(axis=1), np.int64)

    @property
    def right(self) -> NDArray[np.bool_]:
        """Which are what they are called, bool (N,)."""
        return np.asarray(self.named == self.truth)

    @property
    def certainty(self) -> NDArray[np.float64]:
        """The lesser of two probabilities, float64 (N,): that of the label among the categories,
        and that a photo belongs to any.

        One number, so that one proof speaks for all labels; and two thresholds as the manifest
        holds them, since both are at or above t where the lesser is.
        """
        familiar = 1 / (1 + np.exp(self.strangeness.astype(np.float64)))
        return np.asarray(np.minimum(self.confidences.max(axis=1), familiar))


def strangest(least: float) -> float:
    """The strangeness, in nats, at which a photo is familiar with probability `least`, 0-1."""
    return float(np.log1p(-least) - np.log(least)) + ROUNDING


def rule_at(
    least: float, temperature: float, said: Said, labels: tuple[str, ...], config: PhotoRuleConfig
) -> FittedRule:
    """With this threshold for all labels but those whose own photos do not show what is promised of
    single ones.

    least: of the certainty; NEVER accepts nothing, and only says what is strange.
    """
    accepted = said.certainty >= least
    of_each = dict.fromkeys(labels, NEVER)
    if least < NEVER:
        threshold = strangest(least)
        for place, label in enumerate(labels):
            right = said.right[accepted & (said.named == place)]
            wrong = int((~right).sum())
            bound = error_at_most(wrong, len(right), config.guarantee_level)
            if bound <= 1 - config.class_precision:
                of_each[label] = least
    else:
        known = said.truth >= 0
        threshold = float(np.quantile(said.strangeness[known], 1 - config.false_alarms[0]))
    rule = PhotoRule(
        temperature=temperature,
        acceptance=Acceptance(
            confidence_min=of_each,
            precision=config.precision,
            class_precision=config.class_precision,
            guarantee_level=config.guarantee_level,
        ),
        out_of_taxonomy_threshold=threshold,
    )
    figures = rule_figures(rule, labels, said.confidences, said.truth, said.strangeness)
    return FittedRule(rule=rule, figures=figures)
