from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.trainer.photos.pictures import LABELS, photo_set
from trainer.photos.backbone import find_backbone
from trainer.photos.network import predict
from trainer.photos.recipe import PhotoRecipe
from trainer.photos.training import (
    accuracy,
    any_of_loss,
    batches,
    inputs,
    new_network,
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
