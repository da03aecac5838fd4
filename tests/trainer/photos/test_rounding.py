import keras
import numpy as np
import pytest

from tests.trainer.photos.pictures import photo_set
from trainer.export import quantized
from trainer.photos.backbone import find_backbone
from trainer.photos.network import (
    HeadShape,
    build_explainer,
    build_network,
    fit_projection,
    pooled_features,
    predict,
)
from trainer.photos.rounding import LEVELS, rounded, rounded_network
from trainer.serving_model import ServingModel

pytestmark = pytest.mark.training


def test_weights_go_to_a_neighbour_on_the_grid_and_their_sum_stays() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        weights = rng.normal(size=9).astype(np.float32)
        step = np.abs(weights).max() / LEVELS
        found = rounded(weights, np.ones(9, np.float32))
        np.testing.assert_allclose(found / step, np.round(found / step), atol=1e-3)
        assert np.abs(found - weights).max() < step * 1.001
        assert abs(float((found - weights).sum())) <= step * 0.501
        largest = np.abs(weights).argmax()
        assert found[largest] == pytest.approx(weights[largest], rel=1e-6)


def test_what_the_inputs_bring_on_average_stays_closer_than_by_the_nearest() -> None:
    rng = np.random.default_rng(1)
    weights = rng.normal(size=96).astype(np.float32)
    means = np.abs(rng.normal(size=96)).astype(np.float32)
    step = np.abs(weights).max() / LEVELS
    nearest = np.round(weights / step) * step
    ours, theirs = (
        abs(float((each - weights) @ means)) for each in (rounded(weights, means), nearest)
    )
    assert ours < theirs / 10


def test_kernels_that_are_nothing_and_single_ones_stay() -> None:
    nothing = np.zeros(9, np.float32)
    np.testing.assert_array_equal(rounded(nothing, np.ones(9, np.float32)), nothing)
    one = np.full(1, -0.3, np.float32)
    np.testing.assert_allclose(rounded(one, np.ones(1, np.float32)), one, rtol=1e-6)


@pytest.fixture(scope="module")
def explainer() -> keras.Model:
    """Lite0's kinds of layers, in a small network with batch norm that says something."""
    keras.utils.set_random_seed(3)
    network = build_network(find_backbone("none"), 40, HeadShape(words=(3, 0, 2)), 0.2)
    images = photo_set(2).pixels
    return build_explainer(network, fit_projection(pooled_features(network, images)))


def test_a_rounded_network_says_about_the_same_and_the_first_one_stays(
    explainer: keras.Model,
) -> None:
    images = photo_set(8).pixels
    before = [each.copy() for each in explainer.get_weights()]
    copied = rounded_network(explainer, images)
    for was, stayed in zip(before, explainer.get_weights(), strict=True):
        np.testing.assert_array_equal(was, stayed)
    changed = [
        not np.array_equal(was, now) for was, now in zip(before, copied.get_weights(), strict=True)
    ]
    assert any(changed)
    wanted, found = predict(explainer, images), predict(copied, images)
    assert set(found) == set(wanted)
    spread = float(np.ptp(wanted["logits"]))
    np.testing.assert_allclose(found["logits"], wanted["logits"], atol=0.05 * spread)


def test_the_converter_adds_little_to_the_rounding(explainer: keras.Model) -> None:
    """It finds the kernels on its own grid: weights in int8 say what the rounded network says."""
    images = photo_set(8).pixels
    copied = rounded_network(explainer, images)
    served = ServingModel(quantized(copied, images, kind="int8", float_operations=("MEAN",)))
    wanted = predict(copied, images)["logits"]
    gap = np.abs(served(images).logits - wanted).mean()
    assert gap < 0.05 * float(np.ptp(wanted))
