"""By which rule an adapted photo network is believed: proved by what was said out of fold."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from catalog.acceptance import NEVER
from catalog.networks import Mixture
from catalog.statistics import TINY, fit_temperature, softmax
from catalog.taxonomy.model import Taxonomy
from trainer.level_acceptance import with_parents
from trainer.photo_rule import FittedRule, PhotoRuleConfig, fit_photo_rule, rule_figures

# Of the 28×28 network, where both judge together.
SHARES = (0.2, 0.4, 0.6)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What was said of N photos out of fold, and what the bundle says of them today.

    logits: float32 (N, C); strangeness: float32 (N,); truth: int64 (N,), -1 for strangers. accepted
    and right: bool (N,), of the bundle as it is.
    """

    logits: NDArray[np.float32]
    strangeness: NDArray[np.float32]
    truth: NDArray[np.int64]
    accepted: NDArray[np.bool_]
    right: NDArray[np.bool_]

    def take(self, chosen: NDArray[np.bool_]) -> "Evidence":
        """Of the photos where `chosen`, bool (N,), is true."""
        return Evidence(
            logits=self.logits[chosen],
            strangeness=self.strangeness[chosen],
            truth=self.truth[chosen],
            accepted=self.accepted[chosen],
            right=self.right[chosen],
        )


@dataclass(frozen=True, kw_only=True)
class AdaptedMixture:
    """How the 28×28 network helps with photos on plain backgrounds: its part of the manifest."""

    fitted: FittedRule
    reduced_weight: float
    photo_weight: float

    @property
    def mixture(self) -> Mixture:
        """As the manifest holds it."""
        rule = self.fitted.rule
        return Mixture(
            reduced_weight=self.reduced_weight,
            photo_weight=self.photo_weight,
            acceptance=rule.acceptance,
            out_of_taxonomy_threshold=rule.out_of_taxonomy_threshold,
        )


def proved_rule(
    found: Evidence, labels: tuple[str, ...], taxonomy: Taxonomy, config: PhotoRuleConfig
) -> FittedRule:
    """The rule for photos of this kind.

    Where they are too few to prove that much, the surest are accepted: as many as the bundle
    accepted of the same photos, if no more of them are wrong.
    """
    fitted = fit_photo_rule(found.logits, found.truth, found.strangeness, config, labels)
    least = as_much_as_before(fitted, found)
    if least is not None:
        least_of_each = dict.fromkeys(labels, least)
        acceptance = replace(fitted.rule.acceptance, confidence_min=least_of_each)
        rule = replace(fitted.rule, acceptance=acceptance)
        confidences = softmax(found.logits, rule.temperature)
        figures = rule_figures(rule, labels, confidences, found.truth, found.strangeness)
        fitted = FittedRule(rule=rule, figures={**figures, "proved": False})
    parents = with_parents(
        fitted.rule, found.logits, found.truth, found.strangeness, labels, taxonomy
    )
    return replace(fitted, rule=parents)


def as_much_as_before(fitted: FittedRule, found: Evidence) -> float | None:
    """The least confidence that accepts as many photos as the bundle did, no more of them wrong.

    None where the fitted rule accepts as many already, or where more would be wrong.
    """
    familiar = found.strangeness <= fitted.rule.out_of_taxonomy_threshold
    confidences = softmax(found.logits, fitted.rule.temperature)
    confidence = np.where(familiar, confidences.max(axis=1), -NEVER)
    order = np.argsort(-confidence, kind="stable")[: int(found.accepted.sum())]
    order = order[familiar[order]]
    missed = confidences.argmax(axis=1)[order] != found.truth[order]
    allowed = int((found.accepted & ~found.right).sum())
    # Ties apart, the first so many as hold no more wrong ones than before.
    count = int(np.searchsorted(np.cumsum(missed), allowed, side="right"))
    if count <= int(fitted.figures["accepted"]):
        return None
    return float(confidence[order[count - 1]])


def mixed_logits(
    logits: NDArray[np.float32],
    truth: NDArray[np.int64],
    reduced: NDArray[np.float32],
    share: float,
) -> NDArray[np.float32]:
    """Both networks' words on N photos, float32 (N, C), the 28×28 network's with this share.

    logits: float32 (N, C), the photo network's; reduced: float32 (N, C), the logarithms of the
    28×28 network's confidences. Each counts at its own temperature.
    """
    temperature = known_temperature(logits, truth)
    spoken = np.log(np.maximum(softmax(logits, temperature), TINY))
    return np.asarray((1 - share) * spoken + share * reduced, np.float32)


def known_temperature(logits: NDArray[np.float32], truth: NDArray[np.int64]) -> float:
    """The temperature that fits photos of categories."""
    known = truth >= 0
    return fit_temperature(logits[known], truth[known])


def adapted_mixture(
    mixed: Evidence,
    share: float,
    labels: tuple[str, ...],
    taxonomy: Taxonomy,
    config: PhotoRuleConfig,
) -> AdaptedMixture:
    """The powers of both networks' confidences, and the rule for their product.

    mixed: of photos on plain backgrounds, its logits those of `mixed_logits`.
    """
    fitted = proved_rule(mixed, labels, taxonomy, config)
    scale = 1 / fitted.rule.temperature  # the powers take the temperature in
    return AdaptedMixture(
        fitted=replace(fitted, rule=replace(fitted.rule, temperature=1.0)),
        reduced_weight=scale * share,
        photo_weight=scale * (1 - share),
    )
