import numpy as np

from trainer.photos.ambiguity import is_ambiguous, resolved


def test_categories_of_one_set_are_told_apart_though_one_always_scores_best() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 300)
    targets = np.zeros((300, 5), np.bool_)
    targets[:, :3] = True
    scores = rng.normal(size=(300, 5)).astype(np.float32)
    scores[np.arange(300), truth] += 4
    scores[:, 0] += 6  # what a network makes of a label that lets it choose
    found = resolved(scores, targets)
    assert (scores[:, :3].argmax(axis=1) == 0).mean() > 0.9
    assert found[np.arange(300), truth].mean() > 0.9
    assert found.sum() < 1.2 * 300
    assert np.ptp(found.sum(axis=0)[:3]) < 60


def test_photos_of_one_category_and_strangers_stay_as_they_are() -> None:
    targets = np.eye(4, dtype=np.bool_)
    found = resolved(np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32), targets)
    np.testing.assert_array_equal(found, targets)
    assert not is_ambiguous(targets)


def test_every_photo_keeps_at_least_one_of_its_categories() -> None:
    targets = np.ones((6, 7), np.bool_)
    targets[:, 6] = False
    found = resolved(np.zeros((6, 7), np.float32), targets)
    assert is_ambiguous(targets)
    assert (found.sum(axis=1) >= 1).all()
    assert not found[:, 6].any()
