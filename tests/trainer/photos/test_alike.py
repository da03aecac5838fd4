from dataclasses import replace

import numpy as np
import pytest

from trainer.photos.alike import (
    PAIRS_MIN,
    SAME,
    UNSURE,
    Alike,
    Seen,
    fit_alike,
    may_meet,
    nearest_pairs,
    surely_shown,
)

LABELS = ("bar", "cross", "disc")


def photos(count: int, spread: float) -> Seen:
    """Photos around three directions, all called the same."""
    rng = np.random.default_rng(0)
    truth = np.arange(count) % 3
    return Seen(
        embeddings=np.eye(8)[truth] + spread * rng.normal(size=(count, 8)),
        truth=truth,
        confidences=np.full((count, 3), 1 / 3),
        network=np.zeros(count, np.int64),
    )


def least(seen: Seen) -> float | None:
    return fit_alike(seen, LABELS, purities=(0.9,)).least


def test_nine_of_ten_pairs_that_are_near_enough_show_one_category() -> None:
    seen = photos(300, 0.45)
    found = fit_alike(seen, LABELS)
    assert found.least is not None
    assert found.apart == ()
    rows = seen.embeddings / np.linalg.norm(seen.embeddings, axis=1, keepdims=True)
    everybody = np.ones((300, 300), bool)
    cosine, same = nearest_pairs(rows.astype(np.float32), seen.truth, everybody)
    assert same[cosine >= found.least].mean() >= 0.9
    assert same.mean() < 0.9


def test_where_nothing_is_alike_nothing_is_near_enough() -> None:
    truth = np.random.default_rng(1).integers(0, 3, 120)
    assert least(replace(photos(120, 0.45), truth=truth)) == SAME


def test_of_too_few_pairs_nothing_is_said() -> None:
    assert least(photos(5, 0.45)) is None  # 20 pairs
    assert PAIRS_MIN > 20


def test_where_nine_of_ten_cannot_be_had_four_of_five_are_asked_for() -> None:
    seen = photos(600, 0.3)
    # A photo in twenty shows something else than it looks like, whatever the likeness.
    rng = np.random.default_rng(2)
    truth = np.where(rng.random(600) < 0.08, rng.integers(0, 3, 600), seen.truth)
    hard = replace(seen, truth=truth)
    assert fit_alike(hard, LABELS, purities=(0.95,)).least == SAME
    found = fit_alike(hard, LABELS, purities=(0.95, 0.8)).least
    assert found is not None
    assert found < SAME
    assert found == fit_alike(hard, LABELS, purities=(0.8,)).least


def test_photos_that_two_networks_saw_are_not_compared() -> None:
    seen = photos(120, 0.05)
    other = np.arange(120) % 2 == 1
    turned = np.where(other[:, None], np.roll(seen.embeddings, 1, axis=1), seen.embeddings)
    apart = replace(seen, network=other.astype(np.int64))
    assert least(replace(apart, embeddings=turned)) == pytest.approx(least(apart))


def test_photos_that_may_be_several_say_nothing_of_their_pairs() -> None:
    seen = photos(300, 0.45)
    doubtful = np.arange(300) < 100
    # Were they taken for what they are called, they would prove anything.
    one = replace(seen, truth=np.where(doubtful, 0, seen.truth))
    none = replace(seen, truth=np.where(doubtful, UNSURE, seen.truth))
    left = seen.take(~doubtful)
    assert least(none) == pytest.approx(least(left), abs=0.05)
    assert abs((least(one) or 1) - (least(left) or 1)) > 0.05


def test_labels_that_hardly_any_photo_surely_shows_stand_apart() -> None:
    seen = photos(300, 0.45)
    doubtful = (seen.truth == 2) & (np.arange(300) > 60)
    found = fit_alike(replace(seen, truth=np.where(doubtful, UNSURE, seen.truth)), LABELS)
    assert found.apart == ("disc",)
    said = np.array([[0.5, 0.4, 0.1], [0.4, 0.5, 0.1], [0.4, 0.1, 0.5], [0.3, 0.1, 0.6]])
    meeting = may_meet(said, np.array([2]))
    assert meeting[0].tolist() == [True, True, False, False]
    assert meeting[2].tolist() == [False, False, True, True]


def test_photos_of_which_different_things_are_said_are_not_alike() -> None:
    said = np.array([[0.9, 0.1, 0.0], [0.6, 0.4, 0.0], [0.1, 0.9, 0.0]])
    assert may_meet(said, np.array([], np.int64))[0].tolist() == [True, True, False]
    seen = photos(300, 0.45)
    told = replace(seen, confidences=np.eye(3)[seen.truth])
    everything = least(told)
    assert everything is not None
    assert everything < (least(seen) or 1)


def test_only_what_waits_for_a_person_is_measured() -> None:
    seen = photos(300, 0.45)
    waiting = np.arange(300) % 2 == 0
    assert fit_alike(seen, LABELS, waiting, (0.9,)) == Alike(
        least=least(seen.take(waiting)), apart=()
    )


def test_what_photos_surely_show() -> None:
    targets = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 1]], bool)
    assert surely_shown(targets).tolist() == [0, UNSURE, -1]
