import numpy as np
import pytest
from numpy.typing import NDArray

from trainer.photos.alike import fit_alike, nearest_pairs


def photos(count: int, spread: float) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Embeddings around three directions, and which of them each photo belongs to."""
    rng = np.random.default_rng(0)
    truth = np.arange(count) % 3
    return np.eye(8)[truth] + spread * rng.normal(size=(count, 8)), truth


def test_nine_of_ten_pairs_that_are_near_enough_show_one_category() -> None:
    embeddings, truth = photos(300, 0.45)
    fold = np.zeros(300, np.int64)
    least = fit_alike(embeddings, truth, fold)
    assert least is not None
    rows = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    cosine, same = nearest_pairs(rows.astype(np.float32), truth)
    assert same[cosine >= least].mean() >= 0.9
    assert same.mean() < 0.9


def test_where_nothing_is_alike_nothing_is_near_enough() -> None:
    embeddings, _ = photos(120, 0.45)
    truth = np.random.default_rng(1).integers(0, 10, 120)
    assert fit_alike(embeddings, truth, np.zeros(120, np.int64)) is None


def test_photos_that_two_networks_saw_are_not_compared() -> None:
    embeddings, truth = photos(120, 0.05)
    turned = np.where(np.arange(120)[:, None] % 2 == 0, embeddings, np.roll(embeddings, 1, axis=1))
    apart = fit_alike(turned, truth, np.arange(120) % 2)
    assert apart == pytest.approx(fit_alike(embeddings, truth, np.arange(120) % 2))
