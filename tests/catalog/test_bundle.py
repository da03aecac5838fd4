import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from catalog import bundle_files
from catalog.bundle import (
    CHECK,
    FORMAT,
    KERAS_MODEL,
    MANIFEST,
    SERVING_MODEL,
    TAXONOMY,
    BundleError,
    Manifest,
    checksums,
    load_bundle,
    read_manifest,
    write_manifest,
)
from catalog.networks import (
    CAUTIOUS_CONFIDENCE,
    Acceptance,
    Backgrounds,
    Mixture,
    Network,
    NetworkName,
    OutOfTaxonomy,
    PhotoRule,
    PictureKind,
    Preprocessing,
)
from catalog.settings import SHIPPED_BUNDLE
from catalog.taxonomy.document import to_json
from tests.taxonomies import FASHION_MNIST, LABELS, taxonomy

REDUCED = Network(
    input=(28, 28, 1),
    preprocessing=Preprocessing(
        name="zalando-1", decode_px=256, constants={"cutout.grabcut_px": 64}
    ),
    outputs={"logits": (10,), "class_maps": (7, 7, 10), "embedding": (96,)},
    temperature=0.8,
    acceptance=Acceptance(
        confidence_min=dict.fromkeys(LABELS, 0.9),
        precision=0.99,
        guarantee_level=0.95,
        class_precision=0.97,
    ),
    out_of_taxonomy=OutOfTaxonomy(score="energy", threshold=-3.0),
)
PHOTO = replace(
    REDUCED,
    input=(160, 160, 3),
    preprocessing=Preprocessing(
        name="letterbox-1", decode_px=256, constants={"photo_input.border_px": 2}
    ),
    temperature=1.2,
    audit_share=0.05,
    backbone={"name": "efficientnet-lite0", "licence": "Apache-2.0"},
)
MODEL, SOURCE, CHECKED = (f"reduced/{name}" for name in (SERVING_MODEL, KERAS_MODEL, CHECK))


def manifest_of(folder: Path) -> Manifest:
    return Manifest(
        format=FORMAT,
        model_version="test-1",
        created_at="2026-01-01T00:00:00+00:00",
        labels=LABELS,
        taxonomy=FASHION_MNIST,
        networks={NetworkName.REDUCED: REDUCED},
        metrics={"test": {"accuracy": 0.5}},
        training={},
        data={},
        libraries={},
        files=checksums(folder),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle whose models are any bytes: the contract does not look inside."""
    (tmp_path / "reduced").mkdir()
    (tmp_path / MODEL).write_bytes(b"serving")
    (tmp_path / SOURCE).write_bytes(b"keras")
    (tmp_path / CHECKED).write_bytes(b"check")
    (tmp_path / TAXONOMY).write_text(to_json(FASHION_MNIST), encoding="utf-8")
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "index.html").write_text("report")
    write_manifest(tmp_path, manifest_of(tmp_path))
    return tmp_path


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


def change(folder: Path, **fields: Any) -> None:
    path = folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def change_network(folder: Path, **fields: Any) -> None:
    networks = json.loads((folder / MANIFEST).read_text())["networks"]
    change(folder, networks={"reduced": networks["reduced"] | fields})


def test_a_manifest_is_read_as_it_was_written(folder: Path) -> None:
    bundle = load_bundle(folder)
    assert bundle.manifest == manifest_of(folder)
    assert bundle.parts[NetworkName.REDUCED].serving_model == b"serving"
    assert bundle.contents[SOURCE] == b"keras"
    assert set(bundle.manifest.files) == {
        MODEL, SOURCE, CHECKED, TAXONOMY, "report/index.html",
    }  # fmt: skip


def test_the_shipped_bundle_verifies_and_knows_every_label() -> None:
    manifest = load_bundle(SHIPPED_BUNDLE).manifest
    assert manifest.labels == LABELS
    for network in manifest.networks.values():
        assert set(network.acceptance.confidence_min) == {*LABELS, *FASHION_MNIST.parents}


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


def test_a_manifest_that_does_not_list_a_needed_file_is_refused(folder: Path) -> None:
    for name in (SOURCE, CHECKED):
        files = checksums(folder)
        del files[name]
        write_manifest(folder, replace(manifest_of(folder), files=files))
        with pytest.raises(BundleError, match=f"Expected {name} among the files"):
            load_bundle(folder)


def test_an_empty_folder_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="TAGGER_BUNDLE"):
        load_bundle(tmp_path)


@pytest.mark.parametrize("found", [0, 1, 2, 4, "3", None])
def test_another_format_is_refused(folder: Path, found: object) -> None:
    change(folder, format=found)
    with pytest.raises(BundleError, match=f"Expected bundle format {FORMAT}"):
        read_manifest(folder)


@pytest.mark.parametrize("older", [1, 2])
def test_an_older_bundle_is_refused_with_the_way_out(folder: Path, older: int) -> None:
    change(folder, format=older)
    with pytest.raises(BundleError, match=r"python -m trainer.upgrade_bundle .*"):
        read_manifest(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "\x00"])
def test_a_manifest_that_is_no_json_object_is_refused(folder: Path, text: str) -> None:
    (folder / MANIFEST).write_text(text)
    with pytest.raises(BundleError, match="Expected"):
        read_manifest(folder)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("labels", 3),
        ("files", ["model.tflite"]),
        ("networks", {}),
        ("networks", []),
        ("networks", {"reduced": None}),
        ("networks", {"other": {}}),
    ],
)
def test_a_field_of_the_wrong_kind_is_refused(folder: Path, field: str, value: object) -> None:
    change(folder, **{field: value})
    with pytest.raises(BundleError, match="wrong or missing"):
        read_manifest(folder)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", "warm"),
        ("temperature", 0),
        ("temperature", float("nan")),
        ("acceptance", {"precision": 1}),
        ("acceptance", None),
        ("out_of_taxonomy", {}),
        ("out_of_taxonomy", {"score": "energy", "threshold": 0, "parameters": 5}),
        ("outputs", []),
        ("input", None),
        ("input", [28, 28, 3]),
        ("preprocessing", "cutout-4"),
        ("audit_share", 2),
        ("photos", {"temperature": 1.0}),
        ("photos", {"temperature": 0, "acceptance": {}, "out_of_taxonomy_threshold": 1}),
    ],
)
def test_a_network_of_the_wrong_kind_is_refused(folder: Path, field: str, value: object) -> None:
    change_network(folder, **{field: value})
    with pytest.raises(BundleError, match="wrong or missing"):
        read_manifest(folder)


@pytest.mark.parametrize("shape", [(160, 160, 1), (160, 128, 3), (160, 160), (28, 28, 1)])
def test_a_photo_network_takes_squares_in_colour(folder: Path, shape: tuple[int, ...]) -> None:
    write_manifest(
        folder,
        replace(manifest_of(folder), networks={NetworkName.PHOTO: replace(PHOTO, input=shape)}),
    )
    with pytest.raises(BundleError, match="wrong or missing: input"):
        read_manifest(folder)


@pytest.mark.parametrize("field", sorted(set(Manifest.__dataclass_fields__) - {"licences"}))
def test_a_missing_field_is_refused(folder: Path, field: str) -> None:
    path = folder / MANIFEST
    fields = json.loads(path.read_text())
    del fields[field]
    path.write_text(json.dumps(fields))
    with pytest.raises(BundleError, match="Expected"):
        read_manifest(folder)


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


def test_a_bundle_without_the_newer_class_precision_still_loads(folder: Path) -> None:
    networks = json.loads((folder / MANIFEST).read_text())["networks"]
    del networks["reduced"]["acceptance"]["class_precision"]
    change(folder, networks=networks)
    network = load_bundle(folder).manifest.networks[NetworkName.REDUCED]
    assert network.acceptance.class_precision == 0.0


def test_a_bundle_that_says_nothing_of_photos_accepts_only_the_surest_of_them(folder: Path) -> None:
    assert REDUCED.photos is None
    rule = manifest_of(folder).photo_rule_of(NetworkName.REDUCED)
    assert set(rule.acceptance.confidence_min) == set(REDUCED.acceptance.confidence_min)
    assert all(
        rule.acceptance.confidence_min[label] >= max(least, CAUTIOUS_CONFIDENCE)
        for label, least in REDUCED.acceptance.confidence_min.items()
    )


def test_a_rule_for_photos_is_read_as_it_was_written(folder: Path) -> None:
    rule = PhotoRule(
        temperature=1.5,
        acceptance=Acceptance(confidence_min={"bag": 0.8}, precision=0.97, guarantee_level=0.95),
        out_of_taxonomy_threshold=7.0,
    )
    networks = {NetworkName.REDUCED: replace(REDUCED, photos=rule)}
    write_manifest(folder, replace(manifest_of(folder), networks=networks))
    assert load_bundle(folder).manifest.photo_rule_of(NetworkName.REDUCED) == rule


def with_photo_network(folder: Path, *, alone: bool = False) -> Manifest:
    """The bundle with a photo network beside the other one, or in its place."""
    shutil.copytree(folder / "reduced", folder / "photo")
    networks = {NetworkName.PHOTO: PHOTO}
    if alone:
        shutil.rmtree(folder / "reduced")
    else:
        networks[NetworkName.REDUCED] = REDUCED
    manifest = replace(manifest_of(folder), networks=networks)
    write_manifest(folder, manifest)
    return manifest


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


def with_taxonomy(folder: Path, text: str) -> None:
    (folder / TAXONOMY).write_text(text, encoding="utf-8")
    change(folder, files=checksums(folder))


def test_a_taxonomy_travels_in_the_bundle(folder: Path) -> None:
    assert load_bundle(folder).manifest.taxonomy == FASHION_MNIST
    said = json.loads((folder / MANIFEST).read_text())["taxonomy"]
    assert said == {"name": "fashion-mnist", "version": 1}


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (("t-shirt-top", "skirt"), "labels \\['skirt'\\], which are no categories"),
        (("bag", "bag"), "2 labels, 1 of them different"),
        (("bag", "tops"), "labels \\['tops'\\]"),
        (("bag",), "1 labels"),
    ],
)
def test_labels_outside_the_taxonomy_are_refused(
    folder: Path, labels: tuple[str, ...], why: str
) -> None:
    change(folder, labels=labels)
    with pytest.raises(BundleError, match=why):
        load_bundle(folder)


def test_a_taxonomy_that_must_not_serve_is_refused_with_a_reason(folder: Path) -> None:
    with_taxonomy(folder, to_json(taxonomy("bag", "bad_image")))
    with pytest.raises(BundleError, match="Expected another id than not_in_taxonomy and bad_image"):
        load_bundle(folder)
    with_taxonomy(folder, "[]")
    with pytest.raises(BundleError, match="Expected a JSON object, found list"):
        load_bundle(folder)


def test_another_taxonomy_than_the_manifest_names_is_refused(folder: Path) -> None:
    change(folder, taxonomy={"name": "fashion-mnist", "version": 2})
    with pytest.raises(BundleError, match="holds fashion-mnist 1"):
        load_bundle(folder)


def test_a_bundle_without_a_taxonomy_is_refused(folder: Path) -> None:
    (folder / TAXONOMY).unlink()
    change(folder, files=checksums(folder))
    with pytest.raises(BundleError, match=r"taxonomy\.json among the files"):
        load_bundle(folder)
