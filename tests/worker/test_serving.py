"""A bundle that does not verify, or does not compute here what it computed there, never serves."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from catalog.bundle import CHECK, MANIFEST, BundleError, checksums, read_manifest, write_manifest
from catalog.check_predictions import TOLERANCE, CheckPredictions, read_check, write_check
from catalog.networks import NetworkName
from catalog.sample import SAMPLE
from catalog.settings import SHIPPED_BUNDLE
from worker.serving import load_serving_bundle
from worker.tagging.classifier import SIGNATURE, Classifier


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped bundle."""
    return Path(shutil.copytree(SHIPPED_BUNDLE, tmp_path / "bundle"))


def reseal(folder: Path) -> None:
    """As somebody would who knows of checksums."""
    write_manifest(folder, replace(read_manifest(folder), files=checksums(folder)))


def test_the_shipped_bundle_reproduces_its_check_predictions() -> None:
    bundle = load_serving_bundle(SHIPPED_BUNDLE)
    check = read_check(bundle.part(NetworkName.REDUCED))
    assert len(check.images) == 64
    assert len(set(check.logits.argmax(axis=1))) == 10
    Classifier(bundle)


@pytest.mark.parametrize(
    ("what", "spoil"),
    [
        (
            "a logit",
            lambda logits: np.where(np.arange(10) == 3, logits - np.abs(logits).max() / 10, logits),
        ),
        ("the order of classes", lambda logits: logits[:, ::-1]),
        ("no number", lambda logits: np.where(np.arange(10) == 3, np.nan, logits)),
    ],
)
def test_a_bundle_that_predicts_otherwise_is_refused(
    folder: Path, what: str, spoil: Callable[[np.ndarray], np.ndarray]
) -> None:
    check = read_check(load_serving_bundle(folder).part(NetworkName.REDUCED))
    write_check(
        folder / NetworkName.REDUCED,
        CheckPredictions(images=check.images, logits=spoil(check.logits)),
    )
    reseal(folder)
    with pytest.raises(BundleError, match="reproduce its own check predictions"):
        Classifier(load_serving_bundle(folder))


def test_a_check_of_nothing_is_no_check(folder: Path) -> None:
    check = read_check(load_serving_bundle(folder).part(NetworkName.REDUCED))
    write_check(
        folder / NetworkName.REDUCED,
        CheckPredictions(images=check.images[:0], logits=check.logits[:0]),
    )
    reseal(folder)
    with pytest.raises(BundleError, match=r"Expected .* uint8 images"):
        Classifier(load_serving_bundle(folder))


@pytest.mark.parametrize(
    "name", ["reduced/model.tflite", f"reduced/{CHECK}", "reduced/out_of_taxonomy.npz"]
)
def test_a_file_of_rubbish_is_refused_though_its_checksum_is_right(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"rubbish")
    reseal(folder)
    with pytest.raises(BundleError, match="Fetch the bundle again"):
        Classifier(load_serving_bundle(folder))


def test_parameters_that_do_not_fit_the_model_are_refused_before_they_stop_a_batch(
    folder: Path,
) -> None:
    network = load_serving_bundle(folder).manifest.networks[NetworkName.REDUCED]
    name = network.out_of_taxonomy.parameters
    assert name is not None
    np.savez(folder / NetworkName.REDUCED / name, allow_pickle=False, of_another_score=np.zeros(3))
    reseal(folder)
    with pytest.raises(BundleError, match="Expected to load"):
        Classifier(load_serving_bundle(folder))


def test_a_classifier_outlives_its_bundle(folder: Path) -> None:
    with np.load(SAMPLE) as sample:
        images = sample["images"][:3, :, :, None]
    network = Classifier(load_serving_bundle(folder)).networks[NetworkName.REDUCED]
    before = network.classify(images).confidences
    shutil.rmtree(folder)
    np.testing.assert_array_equal(network.classify(images).confidences, before)


def test_a_classifier_is_made_of_the_bytes_that_were_verified(folder: Path) -> None:
    bundle = load_serving_bundle(folder)
    for name in bundle.manifest.files:
        (folder / name).write_bytes(b"altered after it was verified")
    Classifier(bundle)  # refuses a model that does not reproduce the check predictions


@pytest.mark.parametrize("rubbish", [b"", b"PK\x03\x04 cut short", b"\x93NUMPY"])
def test_parameters_of_rubbish_are_refused(folder: Path, rubbish: bytes) -> None:
    (folder / "reduced/out_of_taxonomy.npz").write_bytes(rubbish)
    reseal(folder)
    with pytest.raises(BundleError, match="Fetch the bundle again"):
        Classifier(load_serving_bundle(folder))


def test_a_bundle_for_other_preprocessing_is_refused(folder: Path) -> None:
    manifest = read_manifest(folder)
    network = manifest.networks[NetworkName.REDUCED]
    other = replace(network, preprocessing=replace(network.preprocessing, name="other-9"))
    write_manifest(folder, replace(manifest, networks={NetworkName.REDUCED: other}))
    with pytest.raises(BundleError, match="other-9"):
        load_serving_bundle(folder)
    assert (folder / MANIFEST).is_file()


def test_the_tolerance_covers_another_cpus_kernels() -> None:
    """LiteRT's reference kernels round as no optimised kernel does: the widest gap there is."""
    with np.load(SAMPLE) as sample:
        images = sample["images"][:150, :, :, None]
    model = load_serving_bundle(SHIPPED_BUNDLE).part(NetworkName.REDUCED).serving_model
    logits = [
        Interpreter(
            model_content=model, experimental_op_resolver_type=kernels
        ).get_signature_runner(SIGNATURE)(images=images)["logits"]
        for kernels in (OpResolverType.AUTO, OpResolverType.BUILTIN_REF)
    ]
    gap = np.abs(logits[0] - logits[1]).max() / np.abs(logits[0]).max()
    assert 0 < gap < TOLERANCE
