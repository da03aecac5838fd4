from dataclasses import replace

import numpy as np
import pytest

from catalog.bundle import Acceptance, PhotoRule
from catalog.judging import NEVER, AuditShares, Earned, at_temperature, rule_for
from tests.factories import manifest

AUDIT = AuditShares(usual=0.01, cautious=0.2)
PHOTOS = PhotoRule(
    temperature=1.5,
    acceptance=Acceptance(
        confidence_min={"Bag": 0.98, "Shirt": NEVER}, precision=0.97, guarantee_level=0.95
    ),
    out_of_taxonomy_threshold=-2.0,
)


def test_a_picture_that_came_reduced_is_judged_by_the_bundles_own_rule() -> None:
    bundle = replace(manifest(), photos=PHOTOS)
    earned = Earned(temperature=3.0, confidence_min={"Bag": 0.5}, trusted=frozenset({"Bag"}))
    rule = rule_for(bundle, photo=False, earned=earned, audit=AUDIT)
    assert rule.acceptance == bundle.acceptance
    assert rule.out_of_taxonomy == bundle.out_of_taxonomy
    assert rule.photo_temperature is None
    assert rule.audit_share["Bag"] == 0.01


def test_a_photo_is_judged_cautiously_and_audited_more_until_trust_is_earned() -> None:
    bundle = replace(manifest(), photos=PHOTOS)
    rule = rule_for(bundle, photo=True, earned=None, audit=AUDIT)
    assert rule.acceptance.confidence_min == {"Bag": 0.98, "Shirt": NEVER}
    assert rule.out_of_taxonomy.threshold == -2.0
    assert rule.photo_temperature == 1.5
    assert rule.audit_share["Bag"] == 0.2


def test_trust_is_earned_and_withdrawn_class_by_class() -> None:
    bundle = replace(manifest(), photos=PHOTOS)
    earned = Earned(
        temperature=2.0,
        confidence_min={"Shirt": 0.7, "Bag": NEVER},
        trusted=frozenset({"Shirt"}),
    )
    rule = rule_for(bundle, photo=True, earned=earned, audit=AUDIT)
    assert rule.acceptance.confidence_min == {"Bag": NEVER, "Shirt": 0.7}
    assert (rule.audit_share["Shirt"], rule.audit_share["Bag"]) == (0.01, 0.2)
    assert rule.photo_temperature == 2.0


def test_earned_trust_never_makes_photos_surer_than_the_bundle_does() -> None:
    bundle = replace(manifest(), photos=PHOTOS)
    rule = rule_for(bundle, photo=True, earned=Earned(temperature=0.5), audit=AUDIT)
    assert rule.photo_temperature == 1.5


def test_confidences_of_another_temperature_are_those_of_the_softmax() -> None:
    logits = np.random.default_rng(0).normal(size=(4, 10)) * 4

    def softmax(values: np.ndarray) -> np.ndarray:
        powers = np.exp(values - values.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    found = at_temperature(softmax(logits / 0.7), 0.7, 1.9)
    np.testing.assert_allclose(found, softmax(logits / 1.9), rtol=1e-5)
    assert found.dtype == np.float32


@pytest.mark.parametrize("wanted", [0.5, 5.0])
def test_a_confidence_of_zero_survives_another_temperature(wanted: float) -> None:
    found = at_temperature(np.array([1.0] + [0.0] * 9), 1.0, wanted)
    assert found.argmax() == 0
    assert np.isfinite(found).all()
