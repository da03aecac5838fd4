import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from catalog import bundle_files
from catalog.bundle import (
    CHECK,
    KERAS_MODEL,
    MANIFEST,
    SERVING_MODEL,
    TAXONOMY,
    BundleError,
    checksums,
    load_bundle,
    write_manifest,
)
from catalog.networks import (
    NetworkName,
    OutOfTaxonomy,
)
from tests.catalog.bundle.contents import (
    CHECKED,
    MODEL,
    REDUCED,
    SOURCE,
    manifest_of,
)


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# Told of every open, by whatever call; an audit hook cannot be taken out again, so it gets a
# process of its own.
WATCHER = """
import os, sys
from pathlib import Path
from catalog.bundle import load_bundle
opened = []
sys.addaudithook(lambda event, args: event == "open" and opened.append(args[0]))
load_bundle(Path(sys.argv[1]))
print(*[os.path.basename(name) for name in opened if isinstance(name, str)])
"""


@pytest.mark.parametrize("name", [MODEL, SOURCE, CHECKED, TAXONOMY, "report/index.html"])
def test_an_altered_file_is_refused_by_its_checksum(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"other")
    with pytest.raises(BundleError, match=f"Expected sha256 [0-9a-f]{{64}} for .*{name}"):
        load_bundle(folder)


@pytest.mark.parametrize("name", [MODEL, SOURCE, CHECKED])
def test_a_missing_model_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BundleError, match="found none"):
        load_bundle(folder)


@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "/etc/passwd",
        "report/../../secret",
        "report/../taxonomy.json",
        "./taxonomy.json",
        "report//index.html",
        "taxonomy.json/",
        "..",
        ".",
        "",
        "taxonomy.json\0.png",
    ],
)
def test_a_manifest_that_points_out_of_its_folder_is_refused(folder: Path, name: str) -> None:
    (folder.parent / "secret").write_bytes(b"secret")
    files = checksums(folder) | {name: sha256_of(b"secret")}
    write_manifest(folder, replace(manifest_of(folder), files=files))
    with pytest.raises(BundleError, match="Expected files inside"):
        load_bundle(folder)


def test_a_link_out_of_the_folder_is_refused_though_its_bytes_are_right(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (folder / MODEL).rename(elsewhere / "model")
    (folder / MODEL).symlink_to(elsewhere / "model")
    with pytest.raises(BundleError, match="Expected files inside"):
        load_bundle(folder)
    (folder / MODEL).unlink()
    shutil.move(folder / "report", elsewhere / "report")
    (folder / "report").symlink_to(elsewhere / "report")
    shutil.move(elsewhere / "model", folder / MODEL)
    with pytest.raises(BundleError, match="Expected files inside"):
        load_bundle(folder)


def test_a_manifest_that_is_a_link_out_of_the_folder_is_refused(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / MANIFEST
    (folder / MANIFEST).rename(elsewhere)
    (folder / MANIFEST).symlink_to(elsewhere)
    with pytest.raises(BundleError, match="Expected files inside"):
        load_bundle(folder)


def test_links_within_the_folder_and_to_it_are_followed(folder: Path, tmp_path: Path) -> None:
    (folder / MODEL).rename(folder / "release-7")
    (folder / MODEL).symlink_to("../release-7")
    current = tmp_path / "current"
    current.symlink_to(folder)
    assert load_bundle(current).contents[MODEL] == b"serving"


@pytest.mark.parametrize("kind", ["pipe", "folder", "circle"])
def test_what_is_no_file_is_refused_without_waiting_for_it(folder: Path, kind: str) -> None:
    place = folder / MODEL
    place.unlink()
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    else:
        place.symlink_to(place.name)
    with pytest.raises(BundleError, match=f"Expected .*{MODEL}, found"):
        load_bundle(folder)


@pytest.mark.parametrize("name", ["parameters.npz", "../secret", "/etc/hostname", ""])
def test_parameters_that_the_manifest_does_not_list_are_refused(folder: Path, name: str) -> None:
    listed = manifest_of(folder)
    (folder / "reduced" / "parameters.npz").write_bytes(b"parameters")
    strangeness = OutOfTaxonomy(score="energy", threshold=-3.0, parameters=name)
    networks = {NetworkName.REDUCED: replace(REDUCED, out_of_taxonomy=strangeness)}
    write_manifest(folder, replace(listed, networks=networks))
    with pytest.raises(BundleError, match=f"Expected reduced/{name} among the files"):
        load_bundle(folder)


def test_what_is_used_is_what_was_verified_whatever_happens_to_the_files(folder: Path) -> None:
    bundle = load_bundle(folder)
    for name in bundle.manifest.files:
        (folder / name).write_bytes(b"altered since")
    (folder / MANIFEST).unlink()
    part = bundle.parts[NetworkName.REDUCED]
    assert part.serving_model == b"serving"
    with part.unpacked(KERAS_MODEL) as path:
        assert path.name == KERAS_MODEL
        assert path.read_bytes() == b"keras"
    assert not path.exists()
    bundle.write(folder / "copy")
    assert load_bundle(folder / "copy").manifest == bundle.manifest
    assert load_bundle(folder / "copy").sha256 == bundle.sha256


def test_each_file_is_opened_once(folder: Path) -> None:
    opened = subprocess.run(
        [sys.executable, "-c", WATCHER, folder], capture_output=True, text=True, check=True
    ).stdout.split()
    names = [SERVING_MODEL, KERAS_MODEL, CHECK, "index.html", TAXONOMY, MANIFEST]
    assert {name: opened.count(name) for name in names} == dict.fromkeys(names, 1)


def test_a_bundle_larger_than_any_real_one_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle_files, "BUNDLE_BYTES_MAX", len(b"serving" + b"keras"))
    with pytest.raises(BundleError, match="Expected at most 12 bytes in all files"):
        load_bundle(folder)
