from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.trainer.photos.backbone_reference import CHANNELS, FIXTURE, SIDE_PX, drawn_weight
from trainer.photos import efficientnet_lite0
from trainer.photos.backbone import BackboneError, find_backbone, read_backbone
from trainer.photos.import_backbone import reference_images
from trainer.photos.network import HeadShape, build_network, freeze

pytestmark = pytest.mark.training


def drawn_backbone(side_px: int) -> keras.Model:
    """EfficientNet-Lite0 with the weights that the original was given for the fixture."""
    images = keras.Input((side_px, side_px, 3))
    model = keras.Model(images, efficientnet_lite0.build(images))
    weights = efficientnet_lite0.weights_of(model)
    efficientnet_lite0.set_weights(
        model, {name: drawn_weight(name, value.shape) for name, value in weights.items()}
    )
    return model


def test_features_equal_those_of_the_original() -> None:
    """PyTorch's original was asked once; its answers to the same weights lie beside this file."""
    images = reference_images()[:, :SIDE_PX, :SIDE_PX].astype(np.float32)
    features = np.asarray(drawn_backbone(SIDE_PX)(images))[..., CHANNELS]
    with np.load(FIXTURE) as stored:
        expected = stored["features"]
    assert features.shape == expected.shape
    assert expected.std() > 0.1
    np.testing.assert_allclose(features, expected, atol=1e-4)


def backbone_file(path: Path, *, off_by: float = 0.0) -> Path:
    """A backbone file as import_backbone writes it, of drawn weights."""
    model = drawn_backbone(128)
    features = np.asarray(model(reference_images().astype(np.float32))) + off_by
    arrays: dict[str, Any] = {
        **efficientnet_lite0.weights_of(model),
        "reference/features": features,
        "imagenet/kernel": np.zeros((1280, 1000), np.float32),
        **{f"about/{key}": np.array(key) for key in ("name", "origin", "licence", "sha256")},
    }
    np.savez(path, allow_pickle=False, **arrays)
    return path


def test_a_backbone_file_is_held_against_the_originals_features(tmp_path: Path) -> None:
    backbone = read_backbone(backbone_file(tmp_path / "good.npz"))
    assert backbone.about["licence"] == "licence"
    assert backbone.imagenet_kernel is not None
    with pytest.raises(BackboneError, match=r"within 0\.0001 of the original"):
        read_backbone(backbone_file(tmp_path / "other.npz", off_by=0.01))


def test_a_file_that_is_no_backbone_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "some.npz", a=np.zeros(3))
    with pytest.raises(BackboneError, match="Expected a file of"):
        find_backbone(str(tmp_path / "some.npz"))


def test_an_unknown_name_is_refused_with_what_could_be_meant() -> None:
    with pytest.raises(BackboneError, match=r"keras.applications or `none`, found 'resnet'"):
        find_backbone("resnet")


def test_batch_norms_and_lower_blocks_stay_as_they_are(tmp_path: Path) -> None:
    backbone = read_backbone(backbone_file(tmp_path / "backbone.npz"))
    network = build_network(backbone, 64, HeadShape(words=(0, 0)), 0.0)
    freeze(network, 5)
    names = {variable.path for variable in network.trainable_variables}
    assert not any("norm" in name for name in names)
    assert not any(name.startswith(("stem_", "block4_")) for name in names)
    assert any(name.startswith("block5_") for name in names)


def test_training_may_start_from_a_network_that_was_trained_before(tmp_path: Path) -> None:
    model = drawn_backbone(64)
    model.save(tmp_path / "model.keras")
    backbone = find_backbone(str(tmp_path / "model.keras"))
    network = build_network(backbone, 64, HeadShape(words=(0, 0)), 0.0)
    backbone.start(network)
    images = reference_images()[:, :64, :64].astype(np.float32)
    features = keras.Model(network.input, network.get_layer("features").output)
    np.testing.assert_allclose(features(images), model(images), atol=1e-5)
