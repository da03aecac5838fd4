import keras
import numpy as np
import pytest

from tests.trainer.photos.pictures import photo_set
from trainer.photos.backbone import find_backbone
from trainer.photos.network import (
    STRANGER_SCALE,
    HeadShape,
    build_explainer,
    build_network,
    fit_projection,
    freeze,
    pooled_features,
    predict,
    spoken,
    word_counts,
)

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def network() -> keras.Model:
    """Random weights, words for some categories: two categories and the strangers."""
    keras.utils.set_random_seed(0)
    return build_network(find_backbone("none"), 40, HeadShape(words=(3, 0, 2)), 0.2)


def test_logits_are_the_mean_of_the_class_maps_and_the_same_as_trained(
    network: keras.Model,
) -> None:
    images = photo_set(2).pixels
    projection = fit_projection(pooled_features(network, images))
    found = predict(build_explainer(network, projection), images)
    np.testing.assert_allclose(found["logits"], found["class_maps"].mean(axis=(1, 2)), atol=1e-5)
    scores = predict(network, images)
    np.testing.assert_allclose(found["logits"], scores[:, :-1], atol=1e-5)
    np.testing.assert_allclose(found["embedding"][:, -1], scores[:, -1] * STRANGER_SCALE, atol=1e-5)


def test_a_map_is_what_was_learned_and_the_best_of_its_words_at_each_place(
    network: keras.Model,
) -> None:
    images = photo_set(1).pixels.astype(np.float32)
    network.get_layer("map0_learned").set_weights([np.full((1, 1, 64, 1), 0.01, np.float32)])
    names = ("map0_words", "map0_learned", "map0")
    outputs = [network.get_layer(name).output for name in names]
    words, learned, found = keras.Model(network.input, outputs)(images)
    assert words.shape[-1] == 3
    assert float(np.abs(learned).max()) > 0
    best = np.max(words, axis=-1) + learned[..., 0]
    np.testing.assert_allclose(found[..., 0], best, atol=1e-6)


def test_words_are_spoken_in_the_order_of_the_categories_and_never_learned(
    network: keras.Model,
) -> None:
    images = photo_set(1).pixels.astype(np.float32)
    freeze(network, 0)
    assert word_counts(network) == [3, 0, 2]
    names = ("map0_words", "map2_words")
    maps = keras.Model(network.input, [network.get_layer(name).output for name in names])(images)
    wanted = np.concatenate([np.mean(each, axis=(1, 2)) for each in maps], axis=-1)
    found = keras.Model(network.input, spoken(network))(images)
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    learned = {variable.path for variable in network.trainable_variables}
    assert not any("_words" in path for path in learned)
    assert any("map1_learned" in path for path in learned)


def test_a_network_without_words_speaks_none() -> None:
    network = build_network(find_backbone("none"), 40, HeadShape(words=(0, 0)), 0.2)
    assert spoken(network) is None
    assert word_counts(network) == [0, 0]


def test_the_embedding_has_at_most_128_values_and_keeps_distances() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 200)) @ np.diag(0.9 ** np.arange(200))
    projection = fit_projection(features.astype(np.float32))
    assert projection.shape == (201, 127)
    small = features @ projection[:-1] + projection[-1]
    whole = np.linalg.norm(features[:50, None] - features[None, 50:100], axis=-1)
    kept = np.linalg.norm(small[:50, None] - small[None, 50:100], axis=-1)
    np.testing.assert_allclose(kept, whole, rtol=1e-3)


def test_a_saved_explainer_loads_with_plain_keras_and_says_the_same(
    network: keras.Model, tmp_path_factory: pytest.TempPathFactory
) -> None:
    images = photo_set(1).pixels
    explainer = build_explainer(network, fit_projection(pooled_features(network, images)))
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    explainer.save(path)
    again = predict(keras.models.load_model(path), images)
    for name, value in predict(explainer, images).items():
        np.testing.assert_allclose(again[name], value, atol=1e-6)
