import json
from dataclasses import replace
from pathlib import Path

import pytest

from catalog.bundle import (
    FORMAT,
    MANIFEST,
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
    NetworkName,
    PhotoRule,
)
from catalog.settings import SHIPPED_BUNDLE
from tests.catalog.bundle.contents import (
    CHECKED,
    MODEL,
    PHOTO,
    REDUCED,
    SOURCE,
    change,
    change_network,
    manifest_of,
)
from tests.taxonomies import FASHION_MNIST, LABELS


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
