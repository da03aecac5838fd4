import numpy as np
import pytest
from numpy.typing import NDArray

from trainer.faithfulness import deletion_auc, grad_cam, insertion_auc, to_pixels

LABELS = np.zeros(4, np.int64)


def by_corner(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A model whose evidence for label 0 is how light the upper left quarter is."""
    light = images[:, :14, :14, 0].mean(axis=(1, 2)) / 255
    return np.stack([8 * light - 4, np.zeros(len(images))], axis=1).astype(np.float32)


@pytest.fixture
def images() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(100, 256, (4, 28, 28, 1)).astype(np.uint8)


@pytest.fixture
def truth() -> NDArray[np.float32]:
    maps = np.zeros((4, 28, 28), np.float32)
    maps[:, :14, :14] = 1
    return maps


def test_the_true_map_beats_its_opposite_and_chance(
    images: NDArray[np.uint8], truth: NDArray[np.float32]
) -> None:
    chance = np.random.default_rng(1).random((4, 28, 28), np.float32)
    deletion = [deletion_auc(by_corner, images, LABELS, m) for m in (truth, chance, 1 - truth)]
    assert deletion[0] < deletion[1] - 0.05
    assert deletion[1] < deletion[2] - 0.05


def test_insertion_ends_and_deletion_starts_at_the_whole_picture(
    images: NDArray[np.uint8], truth: NDArray[np.float32]
) -> None:
    calls: list[NDArray[np.uint8]] = []

    def remember(shown: NDArray[np.uint8]) -> NDArray[np.float32]:
        calls.append(shown.copy())
        return by_corner(shown)

    deletion_auc(remember, images, LABELS, truth)
    assert np.array_equal(calls[0], images)
    assert not calls[-1].any()
    calls.clear()
    insertion_auc(remember, images, LABELS, truth)
    assert not np.array_equal(calls[0], images)
    assert np.array_equal(calls[-1], images)


def test_a_map_without_positive_evidence_is_all_zero() -> None:
    maps = -np.ones((2, 7, 7, 10), np.float32)
    found = grad_cam(maps, np.array([3, 4]))
    assert found.shape == (2, 7, 7)
    assert not found.any()
    assert to_pixels(found).shape == (2, 28, 28)
