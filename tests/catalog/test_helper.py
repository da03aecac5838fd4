"""A bundle's third network: 28×28 grey, it helps the photo network with cut-outs."""

from pathlib import Path

import numpy as np
import pytest

from catalog.bundle import BundleError, load_bundle, read_manifest
from catalog.images.network_input import network_input
from catalog.images.preprocessing import preprocessing_of
from catalog.networks import Acceptance, Mixture, NetworkName, PictureKind
from catalog.settings import SHIPPED_BUNDLE
from tests.photo_networks import bundle_with_photo_network, with_helper
from tests.taxonomies import LABELS
from worker.tagging.classifier import Classifier
from worker.tagging.lineup import Lineup

MIXTURE = Mixture(
    reduced_weight=0.5,
    photo_weight=0.5,
    acceptance=Acceptance(
        confidence_min=dict.fromkeys(LABELS, 0.9), precision=0.97, guarantee_level=0.95
    ),
    out_of_taxonomy_threshold=10.0,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return with_helper(
        bundle_with_photo_network(tmp_path, mixture=MIXTURE), load_bundle(SHIPPED_BUNDLE)
    )


def test_it_judges_nothing_and_helps_with_plain_photos_alone(folder: Path) -> None:
    manifest = load_bundle(folder).manifest
    judges = {kind: manifest.judge_of(kind) for kind in PictureKind}
    assert judges == {
        PictureKind.REDUCED: NetworkName.REDUCED,
        PictureKind.PLAIN: NetworkName.PHOTO,
        PictureKind.BUSY: NetworkName.PHOTO,
    }
    assert manifest.helper is NetworkName.CUTOUT
    lineup = Lineup(serving=Classifier(load_bundle(folder)))
    helped = {kind: lineup.judge_of("p", kind=kind).helper for kind in PictureKind}
    assert helped == {
        PictureKind.REDUCED: None,
        PictureKind.PLAIN: lineup.serving.networks[NetworkName.CUTOUT],
        PictureKind.BUSY: None,
    }


def test_without_it_the_network_for_reduced_pictures_helps(tmp_path: Path) -> None:
    folder = bundle_with_photo_network(tmp_path, mixture=MIXTURE)
    assert read_manifest(folder).helper is NetworkName.REDUCED


def test_nothing_helps_a_photo_network_that_is_alone(tmp_path: Path) -> None:
    manifest = read_manifest(bundle_with_photo_network(tmp_path, alone=True, mixture=MIXTURE))
    assert manifest.helper is None
    assert manifest.mixture_of(PictureKind.PLAIN) is None


def test_it_takes_what_the_network_for_reduced_pictures_takes(folder: Path) -> None:
    bundle = load_bundle(folder)
    networks = Classifier(bundle).networks
    kind = networks[NetworkName.CUTOUT].kind
    assert kind == networks[NetworkName.REDUCED].kind
    assert network_input(np.full((90, 60, 3), 200, np.uint8), kind).pixels.shape == (28, 28, 1)
    assert preprocessing_of(NetworkName.CUTOUT) == preprocessing_of(NetworkName.REDUCED)


def test_it_needs_no_source_model(folder: Path) -> None:
    names = set(load_bundle(folder).part(NetworkName.CUTOUT).contents)
    assert names == {"model.tflite", "check.npz"}


def test_a_bundle_where_it_helps_nobody_is_refused(tmp_path: Path) -> None:
    folder = with_helper(
        bundle_with_photo_network(tmp_path), load_bundle(SHIPPED_BUNDLE), alone=True
    )
    with pytest.raises(BundleError, match="helps no photo network"):
        load_bundle(folder)
