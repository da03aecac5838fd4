"""Accept or flag: whether a person looks at a tagging, and by which rule.

A picture that comes reduced to the model input, as Fashion-MNIST does, is what the 28×28 network's
acceptance rule was fitted for. A photo is judged by the photo network and its rule, one on a plain
background by both networks together where the bundle mixes them; where a bundle has no photo
network, or has it for busy backgrounds only and this one is plain, by the 28×28 network under a
cautious rule: until the shop's own reviews have earned more trust for its class, see
catalog/photo_trust.py.

One implementation for all: the worker asks it for one row, the trainer for thousands.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from catalog.bundle import Manifest
from catalog.networks import Acceptance, Mixture, Network, NetworkName, PictureKind
from catalog.outcomes import FlagReason
from catalog.sampling import drawn
from catalog.taxonomy.folding import fold
from catalog.taxonomy.model import Taxonomy

# Above every confidence: nothing is accepted.
NEVER = 2.0
# Reviews speak for one network alone: that which judges these. Where another one judges busy
# photos, it stays under the rule that it was proved by.
EARNING = PictureKind.PLAIN


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
class AuditShares:
    """How many accepted pictures a person reviews anyway, 0-1; cautious: photos of classes that
    have not earned trust."""

    usual: float
    cautious: float


NO_AUDIT = AuditShares(usual=0.0, cautious=0.0)


class Thresholds(Protocol):
    """What is accepted: a Rule says so, and a bundle's PhotoRule."""

    @property
    def acceptance(self) -> Acceptance:
        """The least confidence, by label."""

    @property
    def out_of_taxonomy_threshold(self) -> float:
        """The score above which a picture is strange."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """The rule for one picture. network: which of the bundle's judges it; mixture: how the 28×28
    network helps the photo network with it, if it does.

    audit_share: of what is accepted, by label, 0-1. photo_temperature is the temperature of a
    photo's confidences, None for a reduced picture.
    """

    network: NetworkName
    acceptance: Acceptance
    out_of_taxonomy_threshold: float
    audit_share: Mapping[str, float]
    photo_temperature: float | None
    mixture: Mixture | None = None


def rule_for(
    manifest: Manifest,
    *,
    kind: PictureKind,
    earned: Earned | None = None,
    audit: AuditShares = NO_AUDIT,
) -> Rule:
    """Which network of a bundle judges a picture, and by which rule: decided here, nowhere else.

    kind: of the picture. A bundle without a network for such pictures judges them by the other one:
    photos by the 28×28 network, under its cautious rule for them; reduced ones by the photo
    network, which was made for nothing of the kind: all are flagged.
    """
    name = manifest.judge_of(kind)
    if kind.is_photo:
        return _rule_for_photos(manifest, kind, earned, audit)
    network = manifest.networks[name]
    accepted = network.acceptance
    if name is NetworkName.PHOTO:
        accepted = replace(accepted, confidence_min=dict.fromkeys(manifest.labels, NEVER))
    return Rule(
        network=name,
        acceptance=accepted,
        out_of_taxonomy_threshold=network.out_of_taxonomy.threshold,
        audit_share=dict.fromkeys(manifest.labels, audit.usual),
        photo_temperature=None,
    )


def _rule_for_photos(
    manifest: Manifest, kind: PictureKind, earned: Earned | None, audit: AuditShares
) -> Rule:
    name = manifest.judge_of(kind)
    cautious = manifest.photo_rule_of(name, kind)
    if earned is None or name is not manifest.judge_of(EARNING):
        earned = Earned(temperature=cautious.temperature)
    least = {**cautious.acceptance.confidence_min, **earned.confidence_min}
    untrusted = max(audit.usual, _cautious_share(manifest.networks[name], audit))
    return Rule(
        network=name,
        acceptance=replace(cautious.acceptance, confidence_min=least),
        out_of_taxonomy_threshold=cautious.out_of_taxonomy_threshold,
        audit_share={
            label: audit.usual if label in earned.trusted else untrusted
            for label in manifest.labels
        },
        # Never surer than the bundle itself would be of a photo.
        photo_temperature=max(earned.temperature, cautious.temperature),
        mixture=manifest.mixture_of(kind),
    )


def _cautious_share(network: Network, audit: AuditShares) -> float:
    """A network whose rule was proved on photos may need fewer eyes than the settings allow."""
    if network.audit_share is None:
        return audit.cautious
    return min(audit.cautious, network.audit_share)


def least_confidences(acceptance: Acceptance, labels: Sequence[str]) -> NDArray[np.float64]:
    """The lowest accepted confidence of each label, float64 (classes,).

    A label that the acceptance rule does not name is never accepted.
    """
    return np.array([acceptance.confidence_min.get(label, NEVER) for label in labels], np.float64)


@dataclass(frozen=True, kw_only=True)
class Flags:
    """Why a person should look at each of N taggings: bool (N,), by reason."""

    by_reason: Mapping[FlagReason, NDArray[np.bool_]]

    @property
    def accepted(self) -> NDArray[np.bool_]:
        """Where there is no reason, bool (N,)."""
        return np.asarray(~np.stack(list(self.by_reason.values())).any(axis=0))

    def of(self, row: int) -> tuple[FlagReason, ...]:
        """The reasons of one tagging; empty when it is accepted."""
        return tuple(reason for reason, there in self.by_reason.items() if there[row])


def flags(
    rule: Thresholds,
    labels: Sequence[str],
    confidences: NDArray[np.floating],
    *,
    strangeness: NDArray[np.floating] | None = None,
    poor: NDArray[np.bool_] | None = None,
    declared: Sequence[str | None] | None = None,
    taxonomy: Taxonomy | None = None,
) -> Flags:
    """What a rule says of N taggings; what is not given flags none.

    confidences (N, classes) in the order of `labels`, at the rule's temperature. strangeness (N,),
    higher is stranger. poor: bool (N,), a picture to which no network's word counts. declared: the
    N labels that the senders gave, by id, name or alias of `taxonomy`. A parent agrees with what
    is under it; a text outside the taxonomy conflicts with whatever the model says.
    """
    predicted = confidences.argmax(axis=1)
    least = least_confidences(rule.acceptance, labels)
    none = np.zeros(len(predicted), bool)
    by_reason = {FlagReason.LOW_CONFIDENCE: confidences.max(axis=1) < least[predicted]}
    by_reason[FlagReason.OUT_OF_TAXONOMY] = (
        none
        if strangeness is None
        # In float64: a float32 score would round the threshold to its own precision.
        else np.asarray(strangeness, np.float64) > rule.out_of_taxonomy_threshold
    )
    by_reason[FlagReason.DECLARED_LABEL_CONFLICT] = (
        none
        if declared is None
        else np.array(
            [
                each is not None and not _agrees(each, labels[place], taxonomy)
                for each, place in zip(declared, predicted, strict=True)
            ],
            bool,
        )
    )
    by_reason[FlagReason.POOR_IMAGE] = none if poor is None else poor
    return Flags(by_reason=by_reason)


def _agrees(declared: str, label: str, taxonomy: Taxonomy | None) -> bool:
    if taxonomy is None:
        return fold(declared) == fold(label)
    category = taxonomy.find(declared)
    return category is not None and taxonomy.agrees(category, label)


def flag_reasons(
    rule: Rule,
    labels: Sequence[str],
    confidences: NDArray[np.floating],
    *,
    strangeness: float,
    poor: bool,
    declared: str | None,
    product_id: str,
    taxonomy: Taxonomy | None = None,
) -> tuple[FlagReason, ...]:
    """The same for one tagging, confidences (classes,), and whether its product is audited."""
    found = flags(
        rule,
        labels,
        confidences[None],
        strangeness=np.array([strangeness]),
        poor=np.array([poor]),
        declared=[declared],
        taxonomy=taxonomy,
    ).of(0)
    share = rule.audit_share[labels[int(confidences.argmax())]]
    return found or ((FlagReason.AUDIT_SAMPLE,) if drawn(product_id, share) else ())
