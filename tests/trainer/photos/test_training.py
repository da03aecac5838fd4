from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.trainer.photos.pictures import LABELS, photo_set
from trainer.photos.backbone import find_backbone
from trainer.photos.network import predict, spoken
from trainer.photos.recipe import PhotoRecipe
from trainer.photos.training import (
    accuracy,
    any_of_loss,
    batches,
    inputs,
    memory_loss,
    new_network,
    taught_words,
    train,
)

pytestmark = pytest.mark.training

RECIPE = PhotoRecipe(
    side_px=32, epochs=12, batch_size=8, learning_rate=6e-3, ema_momentum=0.8, erase_share=0.0
)


def trained(folder: Path, recipe: PhotoRecipe) -> keras.Model:
    network = new_network(find_backbone("none"), LABELS, recipe)
    train(network, photo_set(16), None, recipe, folder)
    return network


def test_a_network_learns_three_categories_and_knows_strangers(tmp_path: Path) -> None:
    network = trained(tmp_path, RECIPE)
    unseen = photo_set(20, seed=1)
    scores = predict(network, inputs(unseen, RECIPE))
    assert accuracy(scores, unseen) > 0.9
    strange = scores[:, -1] > scores[:, :-1].max(axis=1)
    assert (strange == unseen.strange).mean() > 0.85


def test_a_stopped_training_goes_on_to_the_very_same_weights(tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=4)
    whole = trained(tmp_path / "whole", recipe)

    stopped = new_network(find_backbone("none"), LABELS, recipe)
    train(stopped, photo_set(16), None, recipe, tmp_path / "stopped", until=2)
    resumed = trained(tmp_path / "stopped", recipe)
    for one, two in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)


def test_training_stops_when_held_out_photos_gain_no_more(tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=30, patience=2)
    network = new_network(find_backbone("none"), LABELS, recipe)
    held_out = photo_set(10, seed=2)
    train(network, photo_set(16), None, recipe, tmp_path, held_out=held_out)
    epochs = len((tmp_path / "log.jsonl").read_text().splitlines())
    assert epochs < 30
    assert accuracy(predict(network, inputs(held_out, recipe)), held_out) > 0.9


def test_any_of_several_labels_costs_as_much_as_the_share_of_all_of_them() -> None:
    scores = np.log(np.array([[0.5, 0.25, 0.25]], np.float32))
    one = any_of_loss(scores, np.array([[1.0, 0.0, 0.0]], np.float32), 0.0)
    either = any_of_loss(scores, np.array([[1.0, 1.0, 0.0]], np.float32), 0.0)
    assert float(one[0]) == pytest.approx(-np.log(0.5), abs=1e-5)
    assert float(either[0]) == pytest.approx(-np.log(0.75), abs=1e-5)


def test_a_photo_weighs_in_the_loss_as_its_list_says() -> None:
    recipe = replace(RECIPE, class_weight_power=0.0)
    photos = photo_set(16)
    weights = np.where(photos.strange, 0.25, 1.0).astype(np.float32)
    for batch in batches(replace(photos, weights=weights), None, recipe, 0):
        np.testing.assert_allclose(batch.weights, np.where(batch.targets[:, -1], 0.25, 1.0))


def test_what_is_remembered_is_how_the_words_share_a_picture() -> None:
    told = np.array([[2.0, 0.0, -1.0, 1.0]], np.float32)
    none = np.zeros(4, np.bool_)
    assert float(memory_loss(told + 5, told, none)[0]) == pytest.approx(0, abs=1e-5)
    assert float(memory_loss(told[:, ::-1], told, none)[0]) > 0.4
    # How the words of taught categories share what they have together is the photos' to say.
    changed = told[:, [3, 1, 2, 0]]
    taught = np.array([True, False, False, True])
    assert float(memory_loss(changed, told, taught)[0]) == pytest.approx(0, abs=1e-5)
    assert float(memory_loss(changed, told, none)[0]) > 0.1


def test_a_network_with_imagenets_words_forgets_less_of_them_with_a_teacher(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(64, 1_000)).astype(np.float32)
    backbone = replace(find_backbone("none"), imagenet_kernel=kernel)
    photos = replace(photo_set(16), labels=("sandal", "sneaker", "bag"))
    far = []
    for weight in (0.0, 1.0):
        recipe = replace(RECIPE, epochs=3, memory_weight=weight)
        network = new_network(backbone, photos.labels, recipe)
        teacher = new_network(backbone, photos.labels, recipe)
        folder = tmp_path / str(weight)
        train(network, photos, None, recipe, folder, teacher=teacher)
        images = inputs(photos, recipe).astype(np.float32)
        said, told = (keras.Model(each.input, spoken(each))(images) for each in (network, teacher))
        taught = taught_words(network, photos)
        assert not taught.any()  # 16 photos are too few to be sure of a category
        far.append(float(np.mean(memory_loss(said, told, taught))))
    assert far[1] < 0.5 * far[0]
