from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from catalog.acceptance import (
    NEVER,
    NO_AUDIT,
    AuditShares,
    Earned,
    Rule,
    flag_reasons,
    flags,
    rule_for,
)
from catalog.bundle import Manifest, load_bundle
from catalog.networks import (
    Acceptance,
    Backgrounds,
    Mixture,
    Network,
    NetworkName,
    OutOfTaxonomy,
    PhotoRule,
    PictureKind,
)
from catalog.outcomes import FlagReason
from catalog.sample import write_pictures
from catalog.settings import SHIPPED_BUNDLE
from catalog.statistics import at_temperature
from tests.factories import manifest, network
from worker.tagging.classifier import Classifier, Predictions

AUDIT = AuditShares(usual=0.01, cautious=0.2)
PHOTOS = PhotoRule(
    temperature=1.5,
    acceptance=Acceptance(
        confidence_min={"bag": 0.98, "shirt": NEVER}, precision=0.97, guarantee_level=0.95
    ),
    out_of_taxonomy_threshold=-2.0,
)
CAUTIOUS = {NetworkName.REDUCED: network(photos=PHOTOS)}
LABELS = ("bag", "shirt", "a class the rule does not name")


def reasons(**fields: Any) -> tuple[FlagReason, ...]:
    """Of one tagging, label and confidence given; accepted unless a field says otherwise."""
    label, confidence = fields.pop("label", "bag"), fields.pop("confidence", 0.95)
    confidences = np.full(3, (1 - confidence) / 2)
    confidences[LABELS.index(label)] = confidence
    rule = Rule(
        network=NetworkName.REDUCED,
        acceptance=Acceptance(
            confidence_min={"bag": 0.9, "shirt": 1.1}, precision=0.99, guarantee_level=0.95
        ),
        out_of_taxonomy_threshold=-1.0,
        audit_share=dict.fromkeys(LABELS, fields.pop("audit_share", 0.0)),
        photo_temperature=None,
    )
    defaults: dict[str, Any] = {
        "strangeness": -5.0,
        "poor": False,
        "declared": None,
        "product_id": "p1",
    }
    return flag_reasons(rule, LABELS, confidences, **defaults | fields)


def test_sure_tagging_is_accepted() -> None:
    assert reasons() == ()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"confidence": 0.899}, FlagReason.LOW_CONFIDENCE),
        ({"label": "shirt", "confidence": 1.0}, FlagReason.LOW_CONFIDENCE),
        ({"label": "a class the rule does not name", "confidence": 1.0}, FlagReason.LOW_CONFIDENCE),
        ({"strangeness": -0.9}, FlagReason.OUT_OF_TAXONOMY),
        ({"declared": "shirt"}, FlagReason.DECLARED_LABEL_CONFLICT),
        ({"declared": "Watch"}, FlagReason.DECLARED_LABEL_CONFLICT),
        ({"poor": True}, FlagReason.POOR_IMAGE),
        ({"audit_share": 1.0}, FlagReason.AUDIT_SAMPLE),
    ],
)
def test_each_reason_is_given_alone(fields: dict[str, Any], reason: FlagReason) -> None:
    assert reasons(**fields) == (reason,)


@pytest.mark.parametrize("declared", ["bag", " bag ", "BAG"])
def test_declared_label_is_compared_as_people_write_it(declared: str) -> None:
    assert reasons(declared=declared) == ()


def test_item_flagged_anyway_is_no_audit_sample() -> None:
    assert reasons(poor=True, audit_share=1.0) == (FlagReason.POOR_IMAGE,)


def test_audit_draws_its_share_and_the_same_products_every_time() -> None:
    drawn = [n for n in range(10_000) if reasons(product_id=str(n), audit_share=0.05)]
    assert 400 < len(drawn) < 600
    assert drawn == [n for n in range(10_000) if reasons(product_id=str(n), audit_share=0.05)]


def test_a_picture_that_came_reduced_is_under_the_bundles_own_rule() -> None:
    bundle = manifest(networks=CAUTIOUS)
    earned = Earned(temperature=3.0, confidence_min={"bag": 0.5}, trusted=frozenset({"bag"}))
    rule = rule_for(bundle, kind=PictureKind.REDUCED, earned=earned, audit=AUDIT)
    network = bundle.networks[NetworkName.REDUCED]
    assert rule.acceptance == network.acceptance
    assert rule.out_of_taxonomy_threshold == network.out_of_taxonomy.threshold
    assert rule.photo_temperature is None
    assert rule.audit_share["bag"] == 0.01


def test_a_photo_is_under_the_cautious_rule_and_audited_more_until_trust_is_earned() -> None:
    bundle = manifest(networks=CAUTIOUS)
    rule = rule_for(bundle, kind=PictureKind.BUSY, audit=AUDIT)
    assert rule.acceptance.confidence_min == {"bag": 0.98, "shirt": NEVER}
    assert rule.out_of_taxonomy_threshold == -2.0
    assert rule.photo_temperature == 1.5
    assert rule.audit_share["bag"] == 0.2


def test_trust_is_earned_and_withdrawn_class_by_class() -> None:
    bundle = manifest(networks=CAUTIOUS)
    earned = Earned(
        temperature=2.0,
        confidence_min={"shirt": 0.7, "bag": NEVER},
        trusted=frozenset({"shirt"}),
    )
    rule = rule_for(bundle, kind=PictureKind.BUSY, earned=earned, audit=AUDIT)
    assert rule.acceptance.confidence_min == {"bag": NEVER, "shirt": 0.7}
    assert (rule.audit_share["shirt"], rule.audit_share["bag"]) == (0.01, 0.2)
    assert rule.photo_temperature == 2.0


def test_earned_trust_never_makes_photos_surer_than_the_bundle_does() -> None:
    bundle = manifest(networks=CAUTIOUS)
    rule = rule_for(bundle, kind=PictureKind.BUSY, earned=Earned(temperature=0.5), audit=AUDIT)
    assert rule.photo_temperature == 1.5


IN_COLOUR = network(
    NetworkName.PHOTO,
    temperature=1.2,
    acceptance=Acceptance(
        confidence_min={"bag": 0.7, "shirt": 0.8}, precision=0.97, guarantee_level=0.95
    ),
    out_of_taxonomy=OutOfTaxonomy(score="energy", threshold=4.0),
    audit_share=0.05,
)
BOTH = {**CAUTIOUS, NetworkName.PHOTO: IN_COLOUR}
OF_BUSY = replace(IN_COLOUR, backgrounds=Backgrounds.BUSY)
BUSY_ONLY = {**CAUTIOUS, NetworkName.PHOTO: OF_BUSY}


@pytest.mark.parametrize(
    ("networks", "kind", "judge"),
    [
        (CAUTIOUS, PictureKind.REDUCED, NetworkName.REDUCED),
        (CAUTIOUS, PictureKind.PLAIN, NetworkName.REDUCED),
        (CAUTIOUS, PictureKind.BUSY, NetworkName.REDUCED),
        (BOTH, PictureKind.REDUCED, NetworkName.REDUCED),
        (BOTH, PictureKind.PLAIN, NetworkName.PHOTO),
        (BOTH, PictureKind.BUSY, NetworkName.PHOTO),
        (BUSY_ONLY, PictureKind.REDUCED, NetworkName.REDUCED),
        (BUSY_ONLY, PictureKind.PLAIN, NetworkName.REDUCED),
        (BUSY_ONLY, PictureKind.BUSY, NetworkName.PHOTO),
        ({NetworkName.PHOTO: IN_COLOUR}, PictureKind.REDUCED, NetworkName.PHOTO),
        ({NetworkName.PHOTO: IN_COLOUR}, PictureKind.PLAIN, NetworkName.PHOTO),
        ({NetworkName.PHOTO: IN_COLOUR}, PictureKind.BUSY, NetworkName.PHOTO),
        ({NetworkName.PHOTO: OF_BUSY}, PictureKind.PLAIN, NetworkName.PHOTO),
        ({NetworkName.PHOTO: OF_BUSY}, PictureKind.BUSY, NetworkName.PHOTO),
    ],
)
def test_each_picture_has_one_judge(
    networks: dict[NetworkName, Network], kind: PictureKind, judge: NetworkName
) -> None:
    assert rule_for(manifest(networks=networks), kind=kind).network is judge


def test_a_plain_photo_left_to_the_28_network_is_under_its_cautious_rule_and_earns_trust() -> None:
    bundle = manifest(networks=BUSY_ONLY)
    earned = Earned(temperature=2.0, confidence_min={"bag": 0.6}, trusted=frozenset({"bag"}))
    plain = rule_for(bundle, kind=PictureKind.PLAIN, audit=AUDIT)
    assert plain == rule_for(manifest(networks=CAUTIOUS), kind=PictureKind.PLAIN, audit=AUDIT)
    plain = rule_for(bundle, kind=PictureKind.PLAIN, earned=earned, audit=AUDIT)
    assert (plain.acceptance.confidence_min["bag"], plain.photo_temperature) == (0.6, 2.0)
    # Reviews of one network's photos say nothing of the other's.
    busy = rule_for(bundle, kind=PictureKind.BUSY, earned=earned, audit=AUDIT)
    assert busy == rule_for(bundle, kind=PictureKind.BUSY, audit=AUDIT)
    assert (busy.acceptance, busy.photo_temperature) == (OF_BUSY.acceptance, 1.2)


def test_a_photo_is_under_the_photo_networks_own_rule_until_reviews_say_otherwise() -> None:
    bundle = manifest(networks=BOTH)
    rule = rule_for(bundle, kind=PictureKind.BUSY, audit=AUDIT)
    assert rule.acceptance == IN_COLOUR.acceptance
    assert (rule.out_of_taxonomy_threshold, rule.photo_temperature) == (4.0, 1.2)
    earned = Earned(temperature=1.5, confidence_min={"bag": 0.6}, trusted=frozenset({"bag"}))
    rule = rule_for(bundle, kind=PictureKind.BUSY, earned=earned, audit=AUDIT)
    assert rule.acceptance.confidence_min == {"bag": 0.6, "shirt": 0.8}
    assert rule.photo_temperature == 1.5
    assert (rule.audit_share["bag"], rule.audit_share["shirt"]) == (0.01, 0.05)


MIXED = replace(
    IN_COLOUR,
    mixture=Mixture(
        reduced_weight=0.4,
        photo_weight=0.7,
        acceptance=replace(IN_COLOUR.acceptance, confidence_min={"bag": 0.9, "shirt": NEVER}),
        out_of_taxonomy_threshold=1.0,
    ),
)


def test_plain_photos_are_under_the_rule_of_both_networks_together() -> None:
    bundle = manifest(networks={**CAUTIOUS, NetworkName.PHOTO: MIXED})
    plain = rule_for(bundle, kind=PictureKind.PLAIN, audit=AUDIT)
    assert plain.network is NetworkName.PHOTO
    assert plain.mixture == MIXED.mixture
    assert plain.acceptance.confidence_min == {"bag": 0.9, "shirt": NEVER}
    assert (plain.out_of_taxonomy_threshold, plain.photo_temperature) == (1.0, 1.2)
    # All others as without a mixture.
    for kind in (PictureKind.BUSY, PictureKind.REDUCED):
        rule = rule_for(bundle, kind=kind, audit=AUDIT)
        assert rule == rule_for(manifest(networks=BOTH), kind=kind, audit=AUDIT)
        assert rule.mixture is None


def test_a_photo_network_alone_mixes_nothing() -> None:
    rule = rule_for(manifest(networks={NetworkName.PHOTO: MIXED}), kind=PictureKind.PLAIN)
    assert rule.mixture is None
    assert rule.acceptance == MIXED.acceptance


def test_the_settings_bound_the_audits_that_a_network_asks_for() -> None:
    bundle = manifest(networks=BOTH)
    few = AuditShares(usual=0.01, cautious=0.02)
    assert rule_for(bundle, kind=PictureKind.BUSY, audit=few).audit_share["bag"] == 0.02
    assert rule_for(bundle, kind=PictureKind.BUSY).audit_share["bag"] == 0.0


def test_a_photo_network_alone_accepts_nothing_that_came_reduced() -> None:
    bundle = manifest(networks={NetworkName.PHOTO: IN_COLOUR})
    rule = rule_for(bundle, kind=PictureKind.REDUCED, audit=AUDIT)
    assert set(rule.acceptance.confidence_min.values()) == {NEVER}
    assert rule.photo_temperature is None


def test_nobody_is_audited_where_nobody_asks() -> None:
    rule = rule_for(manifest(networks=CAUTIOUS), kind=PictureKind.BUSY)
    assert set(rule.audit_share.values()) == {NO_AUDIT.usual, NO_AUDIT.cautious} == {0.0}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, Predictions]:
    """What the shipped model says of 600 real images."""
    pictures = write_pictures(tmp_path_factory.mktemp("pictures"))
    read = [cv2.imread(str(each.path), cv2.IMREAD_GRAYSCALE) for each in pictures]
    images = 255 - np.stack([each for each in read if each is not None])[..., None]
    classifier = Classifier(load_bundle(SHIPPED_BUNDLE))
    return classifier.manifest, classifier.networks[NetworkName.REDUCED].classify(
        np.asarray(images, np.uint8)
    )


def told_by_hand(
    rule: Rule, labels: tuple[str, ...], confidences: NDArray[np.float32], score: float, poor: bool
) -> list[FlagReason]:
    """The rule in plain words, for one tagging."""
    best = max(range(len(labels)), key=lambda place: confidences[place])
    found = []
    if (
        labels[best] not in rule.acceptance.confidence_min
        or float(confidences[best]) < rule.acceptance.confidence_min[labels[best]]
    ):
        found.append(FlagReason.LOW_CONFIDENCE)
    if score > rule.out_of_taxonomy_threshold:
        found.append(FlagReason.OUT_OF_TAXONOMY)
    if poor:
        found.append(FlagReason.POOR_IMAGE)
    return found


@pytest.mark.parametrize("kind", [PictureKind.REDUCED, PictureKind.PLAIN])
def test_many_at_once_are_told_the_same_as_one_by_one(
    seen: tuple[Manifest, Predictions], kind: PictureKind
) -> None:
    bundle, words = seen
    rule = rule_for(bundle, kind=kind, audit=AuditShares(usual=0.1, cautious=0.1))
    confidences = words.confidences
    if rule.photo_temperature is not None:
        made_at = bundle.networks[rule.network].temperature
        confidences = at_temperature(confidences, made_at, rule.photo_temperature)
    poor = np.arange(len(confidences)) % 7 == 0
    found = flags(rule, bundle.labels, confidences, strangeness=words.out_of_taxonomy, poor=poor)
    by_hand = [
        told_by_hand(rule, bundle.labels, row, float(score), bool(each))
        for row, score, each in zip(confidences, words.out_of_taxonomy, poor, strict=True)
    ]
    assert [list(found.of(row)) for row in range(len(confidences))] == by_hand
    assert found.accepted.tolist() == [not each for each in by_hand]
    # Something of everything, or nothing was compared.
    assert {each for row in by_hand for each in row} == {
        FlagReason.LOW_CONFIDENCE,
        FlagReason.OUT_OF_TAXONOMY,
        FlagReason.POOR_IMAGE,
    }
    assert found.accepted.any()
    for row in range(len(confidences)):
        alone = flag_reasons(
            rule,
            bundle.labels,
            confidences[row],
            strangeness=float(words.out_of_taxonomy[row]),
            poor=bool(poor[row]),
            declared=None,
            product_id=str(row),
        )
        assert [each for each in alone if each != FlagReason.AUDIT_SAMPLE] == by_hand[row]


def test_a_score_as_high_as_the_threshold_is_not_strange_whatever_its_precision() -> None:
    rule = replace(PHOTOS, out_of_taxonomy_threshold=0.1)
    confidences = np.array([[1.0, 0.0]])
    # The nearest float32 to 0.1 lies above it.
    for score, accepted in ((np.float32(0.1), False), (0.1, True)):
        found = flags(rule, ("bag", "shirt"), confidences, strangeness=np.array([score]))
        assert found.accepted.tolist() == [accepted]


def test_what_is_not_given_flags_nothing() -> None:
    assert flags(
        PHOTOS, ("bag", "shirt"), np.array([[0.99, 0.01], [0.01, 0.99]])
    ).accepted.tolist() == [
        True,
        False,
    ]
