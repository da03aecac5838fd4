import numpy as np
from numpy.typing import NDArray

from trainer.fashion_mnist.label_errors import find_duplicates, find_label_errors, nearest

Garments = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def clusters(items: int = 400) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.default_rng(0)
    labels = np.arange(items) % 10
    embedding = np.eye(10)[labels] + rng.normal(0, 0.05, (items, 10))
    return embedding.astype(np.float32), labels


def test_neighbours_are_the_nearest_others_in_order() -> None:
    embedding, _ = clusters(60)
    unit = embedding / np.linalg.norm(embedding, axis=1, keepdims=True)
    likeness = unit @ unit.T
    np.fill_diagonal(likeness, -2)
    expected = np.argsort(-likeness, axis=1)[:, :5]
    assert np.array_equal(nearest(embedding, 5), expected)


def test_a_wrong_label_is_suspected_and_the_right_one_suggested() -> None:
    embedding, labels = clusters()
    spoiled = labels.copy()
    wrong = np.array([3, 57, 210])
    spoiled[wrong] = (spoiled[wrong] + 4) % 10
    found = find_label_errors(spoiled, nearest(embedding))
    assert set(wrong) <= set(found.index[:3])
    assert np.array_equal(found.suggested[:3], labels[found.index[:3]])
    assert (np.diff(found.margin) <= 0).all()


def test_clean_labels_raise_no_suspicion() -> None:
    embedding, labels = clusters()
    assert len(find_label_errors(labels, nearest(embedding)).index) == 0


def test_equal_and_nearly_equal_pictures_are_paired_once(garments: Garments) -> None:
    images = garments[0][:100, :, :, None].copy()
    images[40] = images[7]
    images[80] = np.clip(images[12].astype(int) + 2, 0, 255)
    embedding = images.reshape(100, -1).astype(np.float32)
    found = find_duplicates(images, nearest(embedding))
    pairs = [tuple(pair) for pair in found.pairs.tolist()]
    assert pairs[0] == (7, 40)
    assert found.difference[0] == 0
    assert (12, 80) in pairs
    assert len(set(pairs)) == len(pairs)
