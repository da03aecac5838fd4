"""By which rule an adapted photo network is believed: proved by what was said out of fold."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from catalog.acceptance import NEVER
from catalog.networks import Mixture, Network, PhotoRule
from catalog.statistics import TINY, error_at_most, softmax
from catalog.taxonomy.model import Taxonomy
from trainer.acceptance import fewest_items, lowest_safe_confidence
from trainer.level_acceptance import with_parents
from trainer.photo_rule import FittedRule, PhotoRuleConfig, known_temperature
from trainer.photos.one_threshold import Said, rule_at

# Of the 28×28 network, where both judge together.
SHARES = (0.2, 0.4, 0.6)
# The level at which a promise is kept that could not be proved: its bound holds half of the time.
LIKELY = 0.5


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What was said of N photos out of fold, and what the bundle says of them today.

    logits: float32 (N, C); strangeness: float32 (N,); truth: int64 (N,), -1 for strangers.
    accepted: bool (N,), by the bundle as it is.
    """

    logits: NDArray[np.float32]
    strangeness: NDArray[np.float32]
    truth: NDArray[np.int64]
    accepted: NDArray[np.bool_]

    def take(self, chosen: NDArray[np.bool_]) -> "Evidence":
        """Of the photos where `chosen`, bool (N,), is true."""
        return Evidence(
            logits=self.logits[chosen],
            strangeness=self.strangeness[chosen],
            truth=self.truth[chosen],
            accepted=self.accepted[chosen],
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

    def beside(self, now: float, before: float) -> "AdaptedMixture":
        """The same where the photo network speaks at another temperature, `now` and not `before`.

        Confidences to the power of now / before are those of before, but for what they sum to.
        """
        return replace(self, photo_weight=self.photo_weight * now / before)


def own_rule(network: Network) -> FittedRule:
    """A bundle's own rule for the photo network, of which nothing is known here: no figures."""
    rule = PhotoRule(
        temperature=network.temperature,
        acceptance=network.acceptance,
        out_of_taxonomy_threshold=network.out_of_taxonomy.threshold,
    )
    return FittedRule(rule=rule, figures={})


def proved_rule(
    found: Evidence, labels: tuple[str, ...], taxonomy: Taxonomy, config: PhotoRuleConfig
) -> FittedRule:
    """The rule for photos of this kind: one threshold for what is sure to be a label and familiar.

    Where they are too few to prove what is promised, or prove it of fewer than the bundle accepts
    today, it is kept as likely as not (LIKELY): the rule says so, and a shop's audits go on. People
    see what was flagged, so that these photos are the harder ones.
    """
    temperature = known_temperature(found.logits, found.truth)
    said = Said(
        confidences=softmax(found.logits, temperature),
        strangeness=found.strangeness,
        truth=found.truth,
    )
    proof = fewest_items(config.precision, config.guarantee_level, wrong=0)
    least = lowest_safe_confidence(
        said.certainty,
        said.right,
        precision=config.precision,
        level=config.guarantee_level,
        first=(proof,),
    )
    fitted = rule_at(least, temperature, said, labels, config)
    if fitted.figures["accepted"] <= int(found.accepted.sum()):
        least = likely_certainty(said, config.precision)
        likely = rule_at(least, temperature, said, labels, replace(config, guarantee_level=LIKELY))
        if likely.figures["accepted"] > fitted.figures["accepted"]:
            fitted = likely
    parents = with_parents(
        fitted.rule, found.logits, found.truth, found.strangeness, labels, taxonomy
    )
    return replace(fitted, rule=parents)


def likely_certainty(said: Said, precision: float) -> float:
    """The laxest threshold above which the promise is kept as likely as not, NEVER if none is."""
    order = np.argsort(-said.certainty, kind="stable")
    missed = np.cumsum(~said.right[order])
    kept = [
        count
        for count, wrong in enumerate(missed, start=1)
        if error_at_most(int(wrong), count, LIKELY) <= 1 - precision
    ]
    return float(said.certainty[order[kept[-1] - 1]]) if kept else NEVER


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
