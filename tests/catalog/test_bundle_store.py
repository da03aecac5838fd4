"""The store holds only what verifies, under a name that can mean nothing else."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from catalog.bundle import MANIFEST, BundleError, Manifest, read_manifest, write_manifest
from catalog.bundle_store import BundleStore, deciding_sha256
from catalog.networks import NetworkName
from catalog.settings import SHIPPED_BUNDLE
from tests.factories import network


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHIPPED_BUNDLE, tmp_path / "source"))


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    return BundleStore(tmp_path / "models")


def test_what_was_added_is_found_by_its_sha256(source: Path, store: BundleStore) -> None:
    (source / "notes.txt").write_text("not of the bundle")
    sha256, bundle = store.add(source)
    shutil.rmtree(source)
    assert store.load(sha256).manifest == bundle.manifest == read_manifest(SHIPPED_BUNDLE)
    assert not (store.path(sha256) / "notes.txt").exists()
    assert [each.name for each in store.path(sha256).parent.iterdir()] == [sha256]


def test_a_bundle_that_does_not_verify_leaves_the_store_as_it_was(
    source: Path, store: BundleStore
) -> None:
    (source / "reduced/model.tflite").write_bytes(b"other")
    with pytest.raises(BundleError, match="Expected sha256"):
        store.add(source)
    assert list(store.path("x").parent.iterdir()) == []


def test_adding_again_mends_what_was_spoilt_and_changes_nothing_else(
    source: Path, store: BundleStore
) -> None:
    sha256, _ = store.add(source)
    inode = store.path(sha256).stat().st_ino
    assert store.add(source)[0] == sha256
    assert store.path(sha256).stat().st_ino == inode
    (store.path(sha256) / "reduced/model.keras").unlink()
    with pytest.raises(BundleError, match="found none"):
        store.load(sha256)
    assert store.add(source)[0] == sha256
    store.load(sha256)


def test_another_manifest_under_the_name_is_refused(source: Path, store: BundleStore) -> None:
    sha256, bundle = store.add(source)
    write_manifest(store.path(sha256), replace(bundle.manifest, model_version="other"))
    with pytest.raises(BundleError, match=f"Expected sha256 {sha256} for .*{MANIFEST}"):
        store.load(sha256)


def test_a_deleted_bundle_is_told(source: Path, store: BundleStore) -> None:
    sha256, _ = store.add(source)
    shutil.rmtree(store.path(sha256))
    with pytest.raises(BundleError, match="tagger model add"):
        store.load(sha256)


def test_a_store_that_cannot_be_written_is_told(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BundleError, match="TAGGER_MODELS"):
        BundleStore(tmp_path / "file").add(source)


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"metrics": {"test": 1}, "created_at": "2027-01-01T00:00:00+00:00"}, True),
        ({"networks": {NetworkName.REDUCED: network(temperature=3.0)}}, False),
        ({"labels": ("A", "B")}, False),
    ],
)
def test_behaviour_is_what_decides_a_tagging(changes: dict[str, object], same: bool) -> None:
    manifest: Manifest = read_manifest(SHIPPED_BUNDLE)
    assert (deciding_sha256(manifest) == deciding_sha256(replace(manifest, **changes))) is same  # type: ignore[arg-type]
    reported = replace(manifest, files=manifest.files | {"report/new.png": "0"})
    assert deciding_sha256(reported) == deciding_sha256(manifest)
    trained = replace(manifest, files=manifest.files | {"reduced/model.tflite": "0"})
    assert deciding_sha256(trained) != deciding_sha256(manifest)
