import numpy as np

from trainer.fashion_mnist.classes import LABELS
from trainer.photos.imagenet import CATEGORIES, STRANGERS, word_kernels, words_of


def test_every_number_is_a_class_of_imagenet_and_stands_once_in_its_group() -> None:
    for group in (*CATEGORIES.values(), STRANGERS):
        assert len(set(group)) == len(group)
        assert all(0 <= number < 1_000 for number in group)


def test_shoes_and_bags_of_the_ten_classes_keep_imagenets_words() -> None:
    kernel = np.arange(1_000, dtype=np.float32)[None].repeat(3, axis=0)
    kernels = dict(zip(LABELS, word_kernels(LABELS, kernel)[:-1], strict=True))
    sandal = kernels["sandal"]
    assert sandal is not None
    assert sandal[0].tolist() == [774, 502]
    assert kernels["shirt"] is None  # ImageNet has no word for it


def test_what_is_a_category_is_no_stranger() -> None:
    bag, shirt, other, strangers = words_of(["Bag", "Shirt", "something else"])
    assert (len(bag), shirt, other, strangers) == (5, (), (), STRANGERS)
    *_, strangers = words_of(["Hat", "Skirt"])
    assert set(strangers) == set(STRANGERS) - {515, 808, 452, 655}
