import numpy as np

from catalog.acceptance import NEVER
from trainer.acceptance import fit_acceptance, lowest_safe_confidence


def test_a_few_items_without_error_are_not_enough_for_99_percent() -> None:
    confidence = np.linspace(0.9, 1, 200)
    chosen = lowest_safe_confidence(confidence, np.ones(200, np.bool_), precision=0.99, level=0.95)
    assert chosen == NEVER


def test_the_promise_is_kept_at_least_as_often_as_stated() -> None:
    rng = np.random.default_rng(1)
    # An item of confidence c is right with probability c, so that those above t are right with
    # probability (1 + t) / 2.
    kept = 0
    for _ in range(200):
        confidence = rng.random(4000)
        right = rng.random(4000) < confidence
        threshold = lowest_safe_confidence(confidence, right, precision=0.8, level=0.9)
        assert threshold < NEVER
        kept += (1 + threshold) / 2 >= 0.8
    assert kept >= 0.84 * 200  # 0.9 less three standard errors of 200 trials


def test_the_threshold_is_not_much_stricter_than_the_promise_needs() -> None:
    rng = np.random.default_rng(1)
    confidence = rng.random(20_000)
    right = rng.random(20_000) < confidence
    threshold = lowest_safe_confidence(confidence, right, precision=0.8, level=0.95)
    assert 0.6 <= threshold < 0.65


def test_a_class_that_errs_more_than_the_others_gets_its_own_threshold() -> None:
    rng = np.random.default_rng(0)
    items = 10_000
    predicted = rng.integers(0, 10, items)
    top = rng.uniform(0.5, 1, items)
    confidences = np.repeat(((1 - top) / 9)[:, None], 10, axis=1)
    confidences[np.arange(items), predicted] = top
    labels = predicted.copy()
    # Class 3 is wrong in a tenth of its most confident items, the others never.
    wrong = (predicted == 3) & (rng.random(items) < 0.1)
    labels[wrong] = 4
    thresholds = fit_acceptance(
        confidences, labels, precision=0.98, class_precision=0.97, level=0.95
    )
    assert thresholds[3] == NEVER
    assert (np.delete(thresholds, 3) < 1).all()
