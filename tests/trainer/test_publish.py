import json
import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from catalog.bundle import CHECK, BundleError, load_bundle, write_manifest
from catalog.check_predictions import read_check, require_reproduced
from catalog.networks import NetworkName
from tests.taxonomies import FASHION_MNIST
from trainer import publish as publishing
from trainer.check_predictions import add_check_predictions
from trainer.evaluate import Measured, evaluate
from trainer.faithfulness import grad_cam, gradient_grad_cam
from trainer.fashion_mnist.classes import LABELS
from trainer.fashion_mnist.network import predict
from trainer.fashion_mnist.train import Run
from trainer.publish import PHOTO_RULE, add_report, publish
from trainer.serving_model import ServingModel
from trainer.source_model import load_source_model
from trainer.tables import as_text

pytestmark = pytest.mark.training
Garments = tuple[NDArray[np.uint8], NDArray[np.uint8]]


@pytest.fixture
def images(garments: Garments) -> NDArray[np.uint8]:
    return garments[0][:100, :, :, None]


@pytest.fixture
def serve(bundle_folder: Path) -> ServingModel:
    return ServingModel(load_bundle(bundle_folder).part(NetworkName.REDUCED).serving_model)


@pytest.fixture
def explainer(bundle_folder: Path) -> keras.Model:
    return load_source_model(load_bundle(bundle_folder).part(NetworkName.REDUCED))


@pytest.fixture(scope="module")
def measured(bundle_folder: Path, data_folder: Path) -> Measured:
    return evaluate(bundle_folder, data_folder, verify=False)


def test_the_manifest_says_what_the_serving_model_gives(
    bundle_folder: Path, serve: ServingModel, images: NDArray[np.uint8]
) -> None:
    manifest = load_bundle(bundle_folder).manifest
    outputs = serve(images)
    assert manifest.labels == LABELS
    for name, shape in manifest.networks[NetworkName.REDUCED].outputs.items():
        found = getattr(outputs, name)
        assert found.shape == (100, *shape)
        assert found.dtype == np.float32
    network = manifest.networks[NetworkName.REDUCED]
    assert set(network.acceptance.confidence_min) == {*LABELS, *FASHION_MNIST.parents}
    assert network.temperature > 0


def test_a_bundle_carries_predictions_that_its_serving_model_reproduces(
    bundle_folder: Path, serve: ServingModel
) -> None:
    bundle = load_bundle(bundle_folder)
    part = bundle.part(NetworkName.REDUCED)
    check = read_check(part)
    assert f"reduced/{CHECK}" in bundle.manifest.files
    require_reproduced(part, serve(check.images).logits)


def test_check_predictions_are_renewed_only_in_a_bundle_that_verifies(
    bundle_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(bundle_folder, tmp_path / "old"))
    (folder / "reduced" / CHECK).unlink()
    manifest = load_bundle(bundle_folder).manifest
    name = f"reduced/{CHECK}"
    files = {each: sha256 for each, sha256 in manifest.files.items() if each != name}
    write_manifest(folder, replace(manifest, files=files))
    add_check_predictions(folder)
    assert load_bundle(folder).manifest.model_version == manifest.model_version

    write_manifest(folder, replace(manifest, files=files))
    (folder / "reduced/model.keras").write_bytes(b"altered")
    before = (folder / "manifest.json").read_bytes()
    with pytest.raises(BundleError, match=r"model\.keras"):
        add_check_predictions(folder)
    assert (folder / "manifest.json").read_bytes() == before


def test_a_bundle_has_a_rule_of_its_own_for_photos(bundle_folder: Path) -> None:
    manifest = load_bundle(bundle_folder).manifest
    photos = manifest.networks[NetworkName.REDUCED].photos
    assert photos is not None
    assert photos.acceptance.precision == PHOTO_RULE.precision
    assert set(photos.acceptance.confidence_min) == {*LABELS, *FASHION_MNIST.parents}
    assert manifest.metrics["imitated_photos"]["strangers_flagged"] >= 0


def test_the_logits_are_the_mean_of_the_class_maps(
    serve: ServingModel, explainer: keras.Model, images: NDArray[np.uint8]
) -> None:
    for outputs in (serve(images), predict(explainer, images)):
        np.testing.assert_allclose(
            outputs.logits, outputs.class_maps.mean(axis=(1, 2)), rtol=1e-4, atol=1e-4
        )


def test_class_maps_are_grad_cam(explainer: keras.Model, images: NDArray[np.uint8]) -> None:
    outputs = predict(explainer, images)
    for labels in (outputs.logits.argmax(axis=1), outputs.logits.argmin(axis=1)):
        by_gradient = gradient_grad_cam(explainer, images, labels)
        assert by_gradient.max() > 0 or labels is not outputs.logits.argmax(axis=1)
        np.testing.assert_allclose(grad_cam(outputs.class_maps, labels), by_gradient, atol=1e-5)


def test_an_image_gets_the_same_word_alone_and_in_a_batch(
    serve: ServingModel, images: NDArray[np.uint8]
) -> None:
    together = serve(images)
    for place in (0, 37, 99):
        alone = serve(images[place : place + 1])
        np.testing.assert_array_equal(alone.logits[0], together.logits[place])
        np.testing.assert_array_equal(alone.class_maps[0], together.class_maps[place])


def test_a_picture_and_its_negative_are_the_same_to_the_network(
    serve: ServingModel, explainer: keras.Model, images: NDArray[np.uint8]
) -> None:
    kept, negative = predict(explainer, images).logits, predict(explainer, 255 - images).logits
    np.testing.assert_allclose(kept, negative, atol=1e-3)
    agreement = (serve(images).logits.argmax(1) == serve(255 - images).logits.argmax(1)).mean()
    assert agreement >= 0.95


def test_black_pictures_have_finite_outputs(serve: ServingModel) -> None:
    outputs = serve(np.zeros((2, 28, 28, 1), np.uint8))
    assert np.isfinite(outputs.logits).all()
    assert np.isfinite(grad_cam(outputs.class_maps, np.array([0, 9]))).all()


def test_int8_agrees_with_keras(
    serve: ServingModel, explainer: keras.Model, images: NDArray[np.uint8]
) -> None:
    ours, theirs = serve(images).logits, predict(explainer, images).logits
    assert (ours.argmax(axis=1) == theirs.argmax(axis=1)).mean() >= 0.95


def test_an_evaluation_reports_every_figure(measured: Measured) -> None:
    figures = measured.figures
    assert figures["accuracy"] > 0.3
    assert len(figures["corruptions"]) == 16
    assert figures["explanation"]["grad_cam_difference_max"] < 1e-5
    assert 0 <= figures["calibration"]["ece"] <= 1
    assert json.loads(json.dumps(figures)) == figures
    text = as_text(figures)
    for word in ("ece", "aurc", "quarter turn left", "Greek and Cyrillic letters, auroc"):
        assert word in text


def test_the_report_goes_into_the_bundle_and_the_bundle_still_verifies(
    bundle_folder: Path, measured: Measured, tmp_path: Path
) -> None:
    folder = tmp_path / "reported"
    shutil.copytree(bundle_folder, folder)
    add_report(folder, measured)
    manifest = load_bundle(folder).manifest
    assert manifest.metrics["test"] == measured.figures
    assert manifest.model_version == load_bundle(bundle_folder).manifest.model_version
    page = (folder / "report" / "index.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 8
    assert "src='http" not in page
    assert list(tmp_path.iterdir()) == [folder]


def test_a_full_disk_leaves_the_old_bundle_as_it_was(
    run: Run, bundle_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(bundle_folder, folder)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(publishing, "write_manifest", full)
    with pytest.raises(BundleError, match=r"No space left.*make room"):
        publish(run, folder)
    assert load_bundle(folder).manifest == load_bundle(bundle_folder).manifest
    assert list(tmp_path.iterdir()) == [folder]


def test_a_model_that_predicts_otherwise_than_trained_is_not_published(
    run: Run, bundle_folder: Path, tmp_path: Path
) -> None:
    other = keras.models.clone_model(run.network)
    stranger = Run(
        folder=run.folder,
        config=run.config,
        network=other,
        train=run.train,
        validation=run.validation,
        summary=run.summary,
    )
    with pytest.raises(BundleError, match="Do not ship it"):
        publishing.check_bundle(bundle_folder, stranger)


def test_one_label_of_a_few_dozen_is_no_proof_that_int8_went_wrong() -> None:
    assert publishing.by_chance(1, 49) > publishing.CHANCE_MAX
    assert publishing.by_chance(4, 49) < publishing.CHANCE_MAX
    assert publishing.by_chance(20, 512) < publishing.CHANCE_MAX
