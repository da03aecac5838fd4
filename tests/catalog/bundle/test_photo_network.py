from dataclasses import replace
from pathlib import Path

import pytest

from catalog.bundle import (
    CHECK,
    BundleError,
    load_bundle,
    read_manifest,
    write_manifest,
)
from catalog.networks import (
    Backgrounds,
    Mixture,
    NetworkName,
    PictureKind,
)
from tests.catalog.bundle.contents import PHOTO, REDUCED, manifest_of, with_photo_network


@pytest.mark.parametrize("alone", [False, True])
def test_a_photo_network_judges_photos_by_its_own_rule(folder: Path, alone: bool) -> None:
    manifest = with_photo_network(folder, alone=alone)
    bundle = load_bundle(folder)
    assert bundle.manifest == manifest
    assert manifest.judge_of(PictureKind.PLAIN) is NetworkName.PHOTO
    assert manifest.judge_of(PictureKind.BUSY) is NetworkName.PHOTO
    rule = manifest.photo_rule_of(NetworkName.PHOTO)
    assert (rule.temperature, rule.acceptance) == (PHOTO.temperature, PHOTO.acceptance)
    assert set(bundle.parts) == set(manifest.networks)
    if alone:
        with pytest.raises(BundleError, match="Expected a bundle with the network reduced"):
            bundle.part(NetworkName.REDUCED)


def test_every_network_needs_its_own_files(folder: Path) -> None:
    manifest = with_photo_network(folder)
    files = {name: each for name, each in manifest.files.items() if name != f"photo/{CHECK}"}
    write_manifest(folder, replace(manifest, files=files))
    with pytest.raises(BundleError, match=f"Expected photo/{CHECK} among the files"):
        load_bundle(folder)


def test_which_photos_the_photo_network_judges_is_read_as_it_was_written(folder: Path) -> None:
    manifest = with_photo_network(folder)
    assert manifest.networks[NetworkName.PHOTO].backgrounds is Backgrounds.ANY
    networks = {**manifest.networks, NetworkName.PHOTO: replace(PHOTO, backgrounds="busy")}
    write_manifest(folder, replace(manifest, networks=networks))
    read = load_bundle(folder).manifest
    assert read.networks[NetworkName.PHOTO].backgrounds is Backgrounds.BUSY
    assert read.judge_of(PictureKind.PLAIN) is NetworkName.REDUCED


@pytest.mark.parametrize(
    ("name", "backgrounds", "message"),
    [
        ("photo", "plain", "'plain' is not a valid"),
        ("reduced", "busy", "photo network, in red"),
    ],
)
def test_backgrounds_are_one_of_two_and_the_photo_networks(
    folder: Path, name: str, backgrounds: str, message: str
) -> None:
    manifest = with_photo_network(folder)
    networks = {
        key: replace(each, backgrounds=backgrounds) if key == name else each
        for key, each in manifest.networks.items()
    }
    write_manifest(folder, replace(manifest, networks=networks))
    with pytest.raises(BundleError, match=message):
        read_manifest(folder)


MIXTURE = Mixture(
    reduced_weight=0.4,
    photo_weight=0.6,
    acceptance=PHOTO.acceptance,
    out_of_taxonomy_threshold=0.5,
)


def test_a_mixture_is_read_as_it_was_written(folder: Path) -> None:
    manifest = with_photo_network(folder)
    assert manifest.mixture_of(PictureKind.PLAIN) is None
    networks = {**manifest.networks, NetworkName.PHOTO: replace(PHOTO, mixture=MIXTURE)}
    write_manifest(folder, replace(manifest, networks=networks))
    read = load_bundle(folder).manifest
    assert read.mixture_of(PictureKind.PLAIN) == MIXTURE
    assert read.mixture_of(PictureKind.BUSY) is None
    rule = read.photo_rule_of(NetworkName.PHOTO, PictureKind.PLAIN)
    assert (rule.temperature, rule.out_of_taxonomy_threshold) == (PHOTO.temperature, 0.5)


@pytest.mark.parametrize(
    ("name", "mixture", "message"),
    [
        (NetworkName.REDUCED, MIXTURE, "mixture, a field of the photo network, in reduced"),
        (NetworkName.PHOTO, replace(MIXTURE, photo_weight=-0.1), "in the mixture of photo"),
        (NetworkName.PHOTO, replace(MIXTURE, reduced_weight=float("nan")), "in the mixture of"),
    ],
)
def test_a_mixture_that_means_nothing_is_refused(
    folder: Path, name: NetworkName, mixture: Mixture, message: str
) -> None:
    manifest = with_photo_network(folder)
    networks = {**manifest.networks, name: replace(manifest.networks[name], mixture=mixture)}
    write_manifest(folder, replace(manifest, networks=networks))
    with pytest.raises(BundleError, match=message):
        read_manifest(folder)


def test_the_photo_network_has_no_second_rule_for_photos(folder: Path) -> None:
    rule = replace(REDUCED, photos=None).photo_rule
    networks = {NetworkName.PHOTO: replace(PHOTO, photos=rule)}
    write_manifest(folder, replace(manifest_of(folder), networks=networks))
    with pytest.raises(BundleError, match="a rule of the 28×28 network, in photo"):
        read_manifest(folder)
