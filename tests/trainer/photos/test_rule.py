import numpy as np

from catalog.acceptance import flags
from catalog.statistics import softmax
from catalog.taxonomy.document import drafted
from trainer.photos.rule import fit_rule, labels_in_view, strangeness_of

LABELS = ("bag", "shirt", "shoe")
TAXONOMY = drafted(LABELS)


def spoken(count: int, strangers: int, right: float, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Scores (N, 4) that are surer where they are right, and targets of three categories."""
    rng = np.random.default_rng(seed)
    targets = np.zeros((count + strangers, 4), np.bool_)
    targets[np.arange(count), rng.integers(0, 3, count)] = True
    targets[count:, 3] = True
    scores = rng.normal(size=(count + strangers, 4)).astype(np.float32)
    named = np.where(
        rng.random(count) < right, targets[:count].argmax(axis=1), rng.integers(0, 3, count)
    )
    sure = np.where(named == targets[:count].argmax(axis=1), 6.0, 2.5)
    scores[np.arange(count), named] += sure
    scores[count:, 3] += 5
    return scores, targets


def test_accepted_photos_keep_the_promise_with_strangers_counted_as_wrong() -> None:
    scores, targets = spoken(3_000, 400, right=0.85)
    fitted = fit_rule(scores, targets, TAXONOMY)
    assert fitted.figures["accepted_coverage"] > 0.5
    assert fitted.figures["accepted_wrong"] <= 0.03 * fitted.figures["accepted"]
    assert fitted.figures["accepted_precision_at_least"] >= 0.97
    assert fitted.figures["strangers_flagged"] > 0.9
    # What was fitted on one set of photos holds on others of the kind.
    others, their_targets = spoken(3_000, 400, right=0.85, seed=1)
    logits, strangeness = others[:, :-1], strangeness_of(others)
    confidences = softmax(logits, fitted.rule.temperature)
    accepted = flags(fitted.rule, LABELS, confidences, strangeness=strangeness).accepted
    named = confidences.argmax(axis=1)
    right = their_targets[np.arange(len(named)), named]
    assert (~right[accepted]).mean() <= 0.03


def test_where_nothing_can_be_proved_nothing_is_accepted() -> None:
    scores, targets = spoken(60, 10, right=0.5)
    fitted = fit_rule(scores, targets, TAXONOMY)
    assert fitted.figures["accepted"] == 0


def test_a_photo_of_several_allowed_categories_is_right_if_it_is_any_of_them() -> None:
    targets = np.array([[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], np.bool_)
    logits = np.array([[0.0, 3.0, 9.0], [5.0, 0.0, 0.0], [1.0, 0.0, 0.0]], np.float32)
    assert labels_in_view(logits, targets).tolist() == [1, 2, -1]


def test_strangeness_is_the_strangers_score_against_all_categories_together() -> None:
    scores = np.array([[0.0, 0.0, np.log(2.0)], [1000.0, 0.0, 0.0]], np.float32)
    np.testing.assert_allclose(strangeness_of(scores), [0.0, -1000.0], atol=1e-5)
