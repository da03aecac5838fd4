import numpy as np
from numpy.typing import NDArray

from catalog.acceptance import NEVER
from trainer.fashion_mnist.classes import LABELS
from trainer.photo_rule import PhotoRuleConfig, fit_photo_rule
from trainer.shop_photos import STRANGER


def rule_photos(wrong: int, strangers: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """300 sure photos of class 0, of which some are wrong, and sure strangers."""
    logits = np.zeros((300 + strangers, 10), np.float32)
    logits[:, 0] = 8 + np.linspace(0, 1, len(logits), dtype=np.float32)
    truth = np.zeros(len(logits), np.int64)
    truth[:wrong] = 1
    truth[300:] = STRANGER
    return logits, truth


def test_a_rule_for_photos_accepts_what_is_proved_on_held_out_photos() -> None:
    logits, truth = rule_photos(wrong=1, strangers=0)
    fitted = fit_photo_rule(logits, truth, np.zeros(300, np.float32), PhotoRuleConfig())
    assert fitted.figures["accepted_coverage"] > 0.9
    assert fitted.figures["accepted_precision_at_least"] >= 0.97
    assert fitted.figures["classes_accepted"] == [LABELS[0]]


def test_strangers_that_would_be_accepted_count_as_wrong() -> None:
    logits, truth = rule_photos(wrong=0, strangers=60)
    flat = np.zeros(len(truth), np.float32)
    fitted = fit_photo_rule(logits, truth, flat, PhotoRuleConfig())
    assert fitted.figures["classes_accepted"] == []
    told_apart = fit_photo_rule(logits, truth, (truth < 0).astype(np.float32), PhotoRuleConfig())
    assert told_apart.figures["classes_accepted"] == [LABELS[0]]
    assert told_apart.figures["strangers_flagged"] == 1.0


def half_strange_photos() -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
    """1,000 sure photos of two categories; of the stranger half a tenth is wrong, too."""
    truth = np.tile([0, 1], 500)
    logits = np.where(truth[:, None] == [0, 1], np.float32(8), np.float32(0))
    strangeness = np.linspace(0, 1, 1000, dtype=np.float32)
    wrong = (strangeness > 0.5) & (np.arange(1000) % 10 < 2)
    return logits, np.where(wrong, 1 - truth, truth), strangeness


def test_of_several_shares_of_false_alarms_the_one_that_accepts_most_is_taken() -> None:
    found = half_strange_photos()
    labels = ("bag", "shirt")
    alone = [
        fit_photo_rule(*found, PhotoRuleConfig(false_alarms=(share,)), labels)
        for share in (0.05, 0.5, 0.8)
    ]
    assert [each.figures["accepted"] for each in alone] == [0, 500, 200]
    assert alone[0].rule.acceptance.confidence_min == {"bag": NEVER, "shirt": NEVER}
    fitted = fit_photo_rule(*found, PhotoRuleConfig(false_alarms=(0.05, 0.5, 0.8)), labels)
    assert fitted.figures["accepted"] == 500
    assert fitted.figures["classes_accepted"] == list(labels)
    assert fitted.rule.out_of_taxonomy_threshold == alone[1].rule.out_of_taxonomy_threshold


def test_the_doubt_is_shared_between_the_shares_that_are_tried() -> None:
    # 200 right photos prove 98 % at 95 %, but not at 99 %.
    logits, truth = rule_photos(wrong=0, strangers=0)
    logits, truth, flat = logits[:200], truth[:200], np.zeros(200, np.float32)
    one = PhotoRuleConfig(precision=0.98, class_precision=0.0, false_alarms=(0.05,))
    many = PhotoRuleConfig(
        precision=0.98, class_precision=0.0, false_alarms=(0.01, 0.02, 0.03, 0.04, 0.05)
    )
    assert fit_photo_rule(logits, truth, flat, one).figures["accepted"] == 200
    assert fit_photo_rule(logits, truth, flat, many).figures["accepted"] == 0
