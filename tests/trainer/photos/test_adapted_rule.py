"""By which rule an adapted photo network is believed, from what was said out of fold."""

from dataclasses import replace

import numpy as np
import pytest

from catalog.networks import Acceptance, Network, OutOfTaxonomy, Preprocessing
from catalog.statistics import mixed, softmax
from tests.trainer.photos.pictures import LABELS, TAXONOMY
from trainer.photo_rule import PhotoRuleConfig, known_temperature
from trainer.photos.adapted_rule import (
    LIKELY,
    Evidence,
    adapted_mixture,
    mixed_logits,
    own_rule,
    proved_rule,
)
from trainer.photos.adapting import accepts_nothing_any_more, believed_alone

RULE = PhotoRuleConfig()


def test_both_networks_together_are_believed_by_a_rule_of_their_own() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, 400)
    logits = np.asarray(3 * np.eye(3)[truth] + rng.normal(size=(400, 3)), np.float32)
    reduced = np.log(softmax(2 * np.eye(3)[truth] + rng.normal(size=(400, 3))))
    both = mixed_logits(logits, truth, np.asarray(reduced, np.float32), 0.4)
    nothing = np.zeros(400, bool)
    found = Evidence(
        logits=both,
        strangeness=np.full(400, -9, np.float32),
        truth=truth,
        accepted=nothing,
    )
    mixture = adapted_mixture(found, 0.4, LABELS, TAXONOMY, RULE)
    # What serves multiplies the networks' confidences, each at its own temperature.
    at_its_own = softmax(logits, known_temperature(logits, truth))
    serves = mixed(at_its_own, mixture.photo_weight, softmax(reduced), mixture.reduced_weight)
    assert ((serves.argmax(axis=1) == truth).mean()) == ((both.argmax(axis=1) == truth).mean())
    least = mixture.mixture.acceptance.confidence_min[LABELS[0]]
    taken = serves.max(axis=1) >= least
    assert int(taken.sum()) == pytest.approx(mixture.fitted.figures["accepted"], abs=3)
    assert taken.mean() > 0.5
    assert (serves.argmax(axis=1) == truth)[taken].mean() > 0.97


def few_photos(count: int, wrong: int) -> Evidence:
    """What was said of photos of three categories, of the surest so many wrongly."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, count)
    logits = np.asarray(6 * np.eye(3)[truth] * rng.uniform(0.5, 1, (count, 1)), np.float32)
    for place in range(wrong):
        logits[place] = np.roll(logits[place], 1) * 2
    nothing = np.zeros(count, bool)
    return Evidence(
        logits=logits,
        strangeness=np.full(count, -9, np.float32),
        truth=truth,
        accepted=nothing,
    )


def test_where_little_can_be_proved_the_promise_is_kept_as_likely_as_not() -> None:
    rule = proved_rule(few_photos(90, wrong=1), LABELS, TAXONOMY, RULE)
    assert rule.rule.acceptance.guarantee_level == LIKELY
    assert rule.figures["accepted"] == 90
    assert rule.figures["accepted_wrong"] == 1
    # Three of ninety at the top are too many to be likely.
    poor = proved_rule(few_photos(90, wrong=3), LABELS, TAXONOMY, RULE)
    assert poor.figures["accepted"] == 0
    # With many photos it is proved.
    sure = proved_rule(few_photos(600, wrong=0), LABELS, TAXONOMY, RULE)
    assert sure.rule.acceptance.guarantee_level == RULE.guarantee_level
    assert sure.figures["accepted"] == 600


def test_what_accepts_nothing_does_not_replace_what_accepts_something() -> None:
    found = few_photos(90, wrong=3)
    rule = proved_rule(found, LABELS, TAXONOMY, RULE)
    assert not accepts_nothing_any_more(found, rule, None)  # the bundle accepts none either
    accepting = replace(found, accepted=np.arange(90) < 40)
    assert accepts_nothing_any_more(accepting, rule, None)
    assert not accepts_nothing_any_more(accepting, own_rule(network(0.9)), None)


def network(least: float) -> Network:
    """The small bundle's photo network, with this threshold for all labels."""
    return Network(
        input=(64, 64, 3),
        preprocessing=Preprocessing(name="letterbox-1", decode_px=256, constants={}),
        outputs={},
        temperature=0.8,
        acceptance=Acceptance(
            confidence_min=dict.fromkeys(LABELS, least),
            precision=0.97,
            guarantee_level=0.95,
            class_precision=0.9,
        ),
        out_of_taxonomy=OutOfTaxonomy(score="learned_stranger", threshold=-3.0, parameters=None),
    )


def strange_photos(count: int) -> Evidence:
    """Photos of three categories, of which the network is sure, and a third as many strangers of
    which it is as sure: only their strangeness tells, and not of all."""
    rng = np.random.default_rng(2)
    truth = np.concatenate([rng.integers(0, 3, count), np.full(count // 3, -1)])
    said = np.where(truth >= 0, truth, rng.integers(0, 3, len(truth)))
    strange = np.where(truth < 0, rng.normal(1, 1, len(truth)), rng.normal(-5, 1, len(truth)))
    return Evidence(
        logits=np.asarray(6 * np.eye(3)[said], np.float32),
        strangeness=np.asarray(strange, np.float32),
        truth=truth,
        accepted=np.zeros(len(truth), bool),
    )


def test_one_threshold_says_how_sure_and_how_familiar_a_photo_must_be() -> None:
    found = strange_photos(600)
    rule = proved_rule(found, LABELS, TAXONOMY, RULE)
    assert rule.rule.acceptance.guarantee_level == RULE.guarantee_level
    assert rule.figures["accepted_coverage"] > 0.9
    assert rule.figures["accepted_wrong"] <= 0.03 * rule.figures["accepted"]
    assert rule.figures["strangers_flagged"] > 0.9
    least = {rule.rule.acceptance.confidence_min[label] for label in LABELS}
    assert len(least) == 1
    # What serves looks at both numbers by themselves.
    familiar = 1 / (1 + np.exp(rule.rule.out_of_taxonomy_threshold))
    assert familiar == pytest.approx(least.pop())


def test_a_label_that_is_often_wrong_where_the_others_are_not_is_not_accepted() -> None:
    found = few_photos(900, wrong=0)
    bars = np.flatnonzero(found.logits.argmax(axis=1) == LABELS.index("bar"))
    truth = found.truth.copy()
    truth[bars[:8]] = LABELS.index("disc")
    few = np.concatenate([np.flatnonzero(found.logits.argmax(axis=1) != 1), bars[:20]])
    chosen = np.isin(np.arange(900), few)
    rule = proved_rule(replace(found, truth=truth).take(chosen), LABELS, TAXONOMY, RULE)
    assert rule.figures["classes_accepted"] == ["disc", "frame"]


def test_photos_of_another_kind_leave_a_network_its_own_rule() -> None:
    nothing = few_photos(90, wrong=0).take(np.zeros(90, bool))
    chosen = believed_alone(nothing, network(0.7), LABELS, TAXONOMY, RULE, known_min=60)
    assert chosen.rule.acceptance.confidence_min["bar"] == 0.7
    assert chosen.rule.out_of_taxonomy_threshold == -3.0
    many = few_photos(600, wrong=0)
    proved = believed_alone(many, network(0.7), LABELS, TAXONOMY, RULE, known_min=60)
    assert proved.figures["accepted"] == 600


def test_a_network_that_keeps_its_temperature_helps_as_much() -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 3, 300)
    logits = np.asarray(3 * np.eye(3)[truth] + rng.normal(size=(300, 3)), np.float32)
    reduced = np.asarray(np.log(softmax(2 * np.eye(3)[truth] + rng.normal(size=(300, 3)))))
    fitted = known_temperature(logits, truth)
    both = mixed_logits(logits, truth, np.asarray(reduced, np.float32), 0.4)
    found = Evidence(
        logits=both,
        strangeness=np.full(300, -9, np.float32),
        truth=truth,
        accepted=np.zeros(300, bool),
    )
    one = adapted_mixture(found, 0.4, LABELS, TAXONOMY, RULE)
    other = one.beside(now=0.8, before=fitted)
    serves = [
        mixed(softmax(logits, heat), each.photo_weight, softmax(reduced), each.reduced_weight)
        for heat, each in ((fitted, one), (0.8, other))
    ]
    np.testing.assert_allclose(serves[0], serves[1], rtol=1e-6)
