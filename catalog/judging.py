"""By which rule a picture is judged: its bundle's, the cautious one for photos, or an earned one.

A picture that comes reduced to the model input, as Fashion-MNIST does, is what the bundle's
acceptance rule was fitted for. A photo is judged by the bundle's cautious rule, until the shop's
own reviews have earned more trust for its class: see catalog/photo_trust.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from catalog.bundle import Acceptance, Manifest, OutOfTaxonomy

# Above every confidence: nothing is accepted.
NEVER = 2.0


@dataclass(frozen=True, kw_only=True)
class Earned:
    """What `tagger recalibrate` decided for one model version, from the shop's reviews.

    temperature: of photos' confidences. confidence_min: of the classes decided on, 0-1 or NEVER;
    trusted: those of them that have earned it. All others stay under the cautious rule.
    """

    temperature: float
    confidence_min: Mapping[str, float] = field(default_factory=dict)
    trusted: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Rule:
    """The rule for one picture. audit_share: of what is accepted, by label, 0-1.

    photo_temperature is the temperature of a photo's confidences, None for a reduced picture.
    """

    acceptance: Acceptance
    out_of_taxonomy: OutOfTaxonomy
    audit_share: Mapping[str, float]
    photo_temperature: float | None


@dataclass(frozen=True, kw_only=True)
class AuditShares:
    """How many accepted pictures a person reviews anyway, 0-1; cautious: photos of classes that
    have not earned trust."""

    usual: float
    cautious: float


def rule_for(manifest: Manifest, *, photo: bool, earned: Earned | None, audit: AuditShares) -> Rule:
    """The rule in force for a photo, or for a picture that came reduced."""
    if not photo:
        return Rule(
            acceptance=manifest.acceptance,
            out_of_taxonomy=manifest.out_of_taxonomy,
            audit_share=dict.fromkeys(manifest.labels, audit.usual),
            photo_temperature=None,
        )
    cautious = manifest.photo_rule
    earned = earned or Earned(temperature=cautious.temperature)
    least = {**cautious.acceptance.confidence_min, **earned.confidence_min}
    return Rule(
        acceptance=replace(cautious.acceptance, confidence_min=least),
        out_of_taxonomy=replace(
            manifest.out_of_taxonomy, threshold=cautious.out_of_taxonomy_threshold
        ),
        audit_share={
            label: audit.usual if label in earned.trusted else max(audit.usual, audit.cautious)
            for label in manifest.labels
        },
        # Never surer than the bundle itself would be of a photo.
        photo_temperature=max(earned.temperature, cautious.temperature),
    )


def at_temperature(
    confidences: NDArray[np.floating], made_at: float, wanted: float
) -> NDArray[np.float32]:
    """Confidences (…, classes) of softmax(logits / made_at) as softmax(logits / wanted)."""
    if made_at == wanted:
        return np.asarray(confidences, np.float32)
    logs = np.log(np.maximum(confidences, 1e-30)) * (made_at / wanted)
    powers = np.exp(logs - logs.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float32)
