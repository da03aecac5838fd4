"""Which networks travel in a bundle together."""

from dataclasses import replace
from pathlib import Path

from catalog.bundle import load_bundle, read_manifest, write_manifest
from catalog.networks import Backgrounds, NetworkName, PictureKind
from catalog.settings import SHIPPED_BUNDLE
from tests.photo_networks import bundle_with_photo_network, without_photo_network
from trainer.photos.bundling import with_photo_network_of


def test_a_photo_network_goes_along_with_another_28x28_network(tmp_path: Path) -> None:
    base = load_bundle(bundle_with_photo_network(tmp_path, backgrounds=Backgrounds.BUSY))
    folder = without_photo_network(tmp_path / "adapted")
    alone = replace(read_manifest(folder), model_version="adapted", training={})
    write_manifest(folder, with_photo_network_of(base, folder, alone))

    found = load_bundle(folder)
    assert found.manifest.judge_of(PictureKind.BUSY) is NetworkName.PHOTO
    assert found.manifest.judge_of(PictureKind.PLAIN) is NetworkName.REDUCED
    assert found.part(NetworkName.PHOTO).contents == base.part(NetworkName.PHOTO).contents
    assert found.manifest.training == {"photo": base.manifest.training["photo"]}
    assert found.manifest.model_version not in ("adapted", base.manifest.model_version)


def test_the_network_that_helps_it_goes_along(tmp_path: Path) -> None:
    base = load_bundle(SHIPPED_BUNDLE)
    folder = without_photo_network(tmp_path / "adapted")
    write_manifest(folder, with_photo_network_of(base, folder, read_manifest(folder)))

    found = load_bundle(folder)
    assert found.manifest.helper is NetworkName.CUTOUT
    assert found.part(NetworkName.CUTOUT).contents == base.part(NetworkName.CUTOUT).contents
