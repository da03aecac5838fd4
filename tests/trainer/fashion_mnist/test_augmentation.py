from dataclasses import fields, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from trainer.fashion_mnist.augmentation import augment, crop
from trainer.fashion_mnist.config import AugmentationConfig, PhotoLookConfig
from trainer.fashion_mnist.corruptions import CORRUPTIONS, corrupt
from trainer.fashion_mnist.dataset import Split
from trainer.fashion_mnist.photo_look import photo_look

Garments = tuple[NDArray[np.uint8], NDArray[np.uint8]]
SHARES = [field.name for field in fields(AugmentationConfig) if field.name.endswith("_share")]
PHOTO_SHARES = [field.name for field in fields(PhotoLookConfig)]
NO_LOOK = replace(PhotoLookConfig(), **dict.fromkeys(PHOTO_SHARES, 0.0))
NOTHING = replace(AugmentationConfig(), **dict.fromkeys(SHARES, 0.0))


@pytest.fixture
def batch(garments: Garments) -> Split:
    return Split(images=garments[0][:64, :, :, None], labels=garments[1][:64].astype(np.int64))


@pytest.fixture
def images(batch: Split) -> NDArray[np.uint8]:
    return batch.images


def test_shape_and_type_are_kept(batch: Split) -> None:
    varied = augment(batch, AugmentationConfig(), np.random.default_rng(0))
    assert varied.shape == batch.images.shape
    assert varied.dtype == np.uint8


def test_the_same_seed_gives_the_same_images(batch: Split) -> None:
    one = augment(batch, AugmentationConfig(), np.random.default_rng(3))
    two = augment(batch, AugmentationConfig(), np.random.default_rng(3))
    other = augment(batch, AugmentationConfig(), np.random.default_rng(4))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_nothing_changes_where_every_share_is_zero(batch: Split) -> None:
    assert np.array_equal(augment(batch, NOTHING, np.random.default_rng(0)), batch.images)


@pytest.mark.parametrize("share", SHARES)
def test_each_share_changes_pictures_on_its_own(batch: Split, share: str) -> None:
    config = replace(NOTHING, **{share: 1.0})
    varied = augment(batch, config, np.random.default_rng(0))
    changed = (varied != batch.images).any(axis=(1, 2, 3)).mean()
    assert changed > 0.9


def test_a_crop_moves_the_whole_picture_and_fills_with_background() -> None:
    image = np.zeros((28, 28), np.float32)
    image[14, 14] = 255
    places = set()
    for seed in range(60):
        moved = crop(image, 4, np.random.default_rng(seed))
        assert moved.shape == (28, 28)
        assert moved.sum() == 255
        places.add(tuple(int(at) - 14 for at in np.argwhere(moved)[0]))
    assert {row for row, _ in places} == {column for _, column in places} == set(range(-4, 5))


def looks(batch: Split, config: PhotoLookConfig) -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    return np.stack(
        [
            photo_look(image[..., 0].astype(np.float32), int(label), batch, config, rng)
            for image, label in zip(batch.images, batch.labels, strict=True)
        ]
    )


@pytest.mark.parametrize("share", PHOTO_SHARES)
def test_each_share_of_the_photo_look_changes_garments_on_its_own(batch: Split, share: str) -> None:
    varied = looks(batch, replace(NO_LOOK, **{share: 1.0}))
    changed = (varied != batch.images[..., 0]).any(axis=(1, 2))
    assert changed.any()
    assert (varied.min(), varied.max()) >= (0, 0)
    assert varied.max() <= 255


def test_a_photo_look_without_shares_is_the_garment_itself(batch: Split) -> None:
    assert np.array_equal(looks(batch, NO_LOOK), batch.images[..., 0])


def test_a_black_picture_survives_the_photo_look(batch: Split) -> None:
    black = np.zeros((28, 28), np.float32)
    rng = np.random.default_rng(0)
    everything = replace(NO_LOOK, **dict.fromkeys(PHOTO_SHARES, 1.0))
    for label in range(10):
        assert np.isfinite(photo_look(black, label, batch, everything, rng)).all()


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_each_corruption_spoils_the_same_way_for_the_same_seed(
    images: NDArray[np.uint8], kind: str
) -> None:
    spoiled = corrupt(images, kind, seed=1)
    assert spoiled.shape == images.shape
    assert spoiled.dtype == np.uint8
    assert np.array_equal(spoiled, corrupt(images, kind, seed=1))
    assert (spoiled != images).any(axis=(1, 2, 3)).all()


def test_there_are_fifteen_kinds_of_corruption() -> None:
    assert len(CORRUPTIONS) == 15
