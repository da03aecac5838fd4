import numpy as np

from trainer.fashion_mnist.classes import LABELS
from trainer.photos.imagenet import CATEGORIES, STRANGERS, first_kernels, pieces_of


def test_every_number_is_a_class_of_imagenet_and_stands_once_in_its_group() -> None:
    for group in (*CATEGORIES.values(), STRANGERS):
        assert len(set(group)) == len(group)
        assert all(0 <= number < 1_000 for number in group)


def test_shoes_and_bags_of_the_ten_classes_start_where_imagenet_stands() -> None:
    kernel = np.arange(1_000, dtype=np.float32)[None].repeat(3, axis=0)
    kernels = dict(zip(LABELS, first_kernels(LABELS, kernel)[:-1], strict=True))
    sandal = kernels["sandal"]
    assert sandal is not None
    assert sandal[0].tolist() == [774, 502]
    assert kernels["shirt"] is None  # ImageNet has no word for it


def test_each_label_has_as_many_pieces_as_imagenet_has_words_and_at_least_one() -> None:
    pieces = pieces_of(["Bag", "Shirt", "something else"], known=True)
    assert pieces == [5, 1, 1, len(STRANGERS)]
    assert pieces_of(["Bag", "Shirt"], known=False) == [1, 1, 1]
