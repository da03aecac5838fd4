from dataclasses import replace

import numpy as np
import pytest

from catalog.sample import SAMPLE
from tests.trainer.photos.pictures import photo_set
from trainer.fashion_mnist.dataset import Split
from trainer.photos.garments import dressed_up, find_garments
from trainer.photos.recipe import PhotoRecipe
from trainer.photos.training import batches, class_weights
from trainer.photos.variation import on_ground, varied

RECIPE = PhotoRecipe(side_px=32, batch_size=8)


def garment_pictures() -> Split:
    with np.load(SAMPLE, allow_pickle=False) as sample:
        return Split(images=sample["images"][..., None], labels=sample["labels"].astype(np.int64))


def test_a_varied_photo_has_the_side_that_the_network_sees_and_differs_each_time() -> None:
    photos, rng = photo_set(2), np.random.default_rng(0)
    first, second = (varied(photos, 0, RECIPE, rng) for _ in range(2))
    assert first.shape == second.shape == (32, 32, 3)
    assert (first != second).any()


def test_the_photos_themselves_stay_as_they_are() -> None:
    photos = photo_set(2)
    before = photos.pixels.copy()
    list(batches(photos, None, replace(RECIPE, erase_share=1.0, background_share=1.0), 0))
    np.testing.assert_array_equal(photos.pixels, before)


def test_a_garment_on_another_ground_keeps_its_middle_and_loses_its_background() -> None:
    photos = photo_set(1)
    ground = np.full((40, 40, 3), 7, np.uint8)
    found = on_ground(photos.pixels[0], photos.masks[0], ground)
    np.testing.assert_array_equal(found[0, 0], (7, 7, 7))
    np.testing.assert_allclose(found[20, 20], photos.pixels[0][20, 20], atol=2)


def test_an_epoch_shows_every_photo_once_and_is_the_same_for_one_seed() -> None:
    photos = photo_set(5)
    first, again = (list(batches(photos, None, RECIPE, 3)) for _ in range(2))
    assert sum(len(batch.pixels) for batch in first) == 20
    np.testing.assert_array_equal(
        np.concatenate([batch.targets for batch in first]).sum(axis=0), [5, 5, 5, 5]
    )
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.pixels, two.pixels)
    other = next(iter(batches(photos, None, RECIPE, 4)))
    assert (other.pixels != first[0].pixels).any()


def test_rare_categories_weigh_more_and_a_photo_weighs_one_on_average() -> None:
    targets = np.zeros((1_100, 3), np.bool_)
    targets[:1_000, 0], targets[1_000:, 1] = True, True
    weights = class_weights(targets, RECIPE)
    assert weights[1] > 1 > weights[0]
    # The category of no photo counts as one of a hundred.
    assert float(weights @ [1_000, 100, 100]) == pytest.approx(1_200, rel=1e-5)


def test_garments_are_drawn_for_the_categories_that_the_photos_share() -> None:
    photos = replace(photo_set(2), labels=("Bag", "bar", "Sandal"))
    names = (*map(str, range(8)), "Bag", "Sandal")
    garments = find_garments(garment_pictures(), names, photos)
    assert garments is not None
    rng = np.random.default_rng(0)
    drawn = [garments.draw(photos, rng) for _ in range(40)]
    assert {category for _, category in drawn} == {0, 2}
    assert all(photo.shape == photos.pixels.shape[1:] for photo, _ in drawn)


def test_no_garments_are_drawn_for_a_taxonomy_of_other_categories() -> None:
    assert find_garments(garment_pictures(), ("T", "U") * 5, photo_set(2)) is None


def test_a_dressed_up_picture_is_in_colour_and_has_the_garment_in_its_middle() -> None:
    photos = photo_set(2, side_px=80)
    picture = np.zeros((28, 28), np.uint8)
    picture[4:24, 9:19] = 200
    found = [dressed_up(picture, photos, np.random.default_rng(seed)) for seed in range(20)]
    coloured = [np.ptp(photo.astype(int), axis=2).max() > 20 for photo in found]
    assert sum(coloured) >= 10
    apart = [np.abs(photo[40, 40].astype(int) - photo[2, 2]).max() > 10 for photo in found]
    assert sum(apart) >= 15
