"""Bundles of earlier formats become ones of today's, and tag as they did."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from catalog.bundle import CHECK, MANIFEST, TAXONOMY, BundleError, checksums, load_bundle
from catalog.networks import Network
from catalog.settings import SHIPPED_BUNDLE
from tests.photo_networks import without_photo_network
from tests.taxonomies import LABELS
from trainer.upgrade_bundle import upgrade_bundle
from worker.serving import load_serving_bundle
from worker.tagging.classifier import Classifier


def older(folder: Path, number: int) -> Path:
    """The shipped bundle's 28×28 network as an earlier version of the trainer wrote it."""
    target = without_photo_network(folder / f"format-{number}")
    fields = json.loads((target / MANIFEST).read_text())
    taxonomy = json.loads((target / TAXONOMY).read_text())
    names = {each["id"]: each["name"] for each in taxonomy["categories"]}
    (network,) = fields.pop("networks").values()
    photos = network["photos"]
    for path in sorted((target / "reduced").iterdir()):
        path.rename(target / path.name)
    (target / "reduced").rmdir()
    (target / TAXONOMY).unlink()
    if number == 1:
        (target / CHECK).unlink()
    fields |= {
        "format": number,
        "labels": [names[each] for each in fields["labels"]],
        "preprocessing": network["preprocessing"]["name"],
        "preprocessing_parameters": network["preprocessing"]["constants"],
        "input_shape": network["input"],
        "output_shapes": network["outputs"],
        "temperature": network["temperature"],
        "acceptance": by_name(network["acceptance"], names),
        "out_of_taxonomy": network["out_of_taxonomy"],
        "photos": photos | {"acceptance": by_name(photos["acceptance"], names)},
        "files": checksums(target),
    }
    for name in ("taxonomy", "licences"):
        fields.pop(name, None)
    (target / MANIFEST).write_text(json.dumps(fields))
    return target


def by_name(rule: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The rule for names of labels: there were no parents either."""
    least = {names[k]: v for k, v in rule["confidence_min"].items() if k in LABELS}
    return {**rule, "confidence_min": least}


def without_parents(network: Network) -> Network:
    assert network.photos is not None
    rules = network.acceptance, network.photos.acceptance
    first, second = (
        replace(rule, confidence_min={label: rule.confidence_min[label] for label in LABELS})
        for rule in rules
    )
    return replace(network, acceptance=first, photos=replace(network.photos, acceptance=second))


@pytest.mark.parametrize("number", [1, 2])
def test_an_older_bundle_becomes_what_it_would_be_today(tmp_path: Path, number: int) -> None:
    folder = older(tmp_path, number)
    with pytest.raises(BundleError, match=r"trainer.upgrade_bundle"):
        load_bundle(folder)
    upgrade_bundle(folder)
    shipped = load_serving_bundle(without_photo_network(tmp_path / "today"))
    found = load_serving_bundle(folder)
    networks = shipped.manifest.networks.items()
    assert found.manifest.networks == {name: without_parents(each) for name, each in networks}
    assert found.manifest.labels == shipped.manifest.labels
    assert found.manifest.taxonomy == shipped.manifest.taxonomy
    assert found.manifest.model_version == shipped.manifest.model_version
    Classifier(found)


def test_todays_bundle_is_left_alone(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(SHIPPED_BUNDLE, tmp_path / "bundle"))
    before = checksums(folder)
    with pytest.raises(BundleError, match="Only older ones are rewritten"):
        upgrade_bundle(folder)
    assert checksums(folder) == before


def test_an_older_bundle_that_was_altered_stays_as_it_is(tmp_path: Path) -> None:
    folder = older(tmp_path, 2)
    (folder / "model.tflite").write_bytes(b"altered")
    before = checksums(folder)
    with pytest.raises(BundleError, match="Expected sha256"):
        upgrade_bundle(folder)
    assert checksums(folder) == before
    assert (folder / MANIFEST).is_file()


def test_labels_of_a_shops_own_become_ids_of_their_names(tmp_path: Path) -> None:
    folder = older(tmp_path, 2)
    fields = json.loads((folder / MANIFEST).read_text())
    text = json.dumps(fields).replace('"Bag"', '"Große Tasche"')
    (folder / MANIFEST).write_text(text)
    upgrade_bundle(folder)
    manifest = load_bundle(folder).manifest
    assert manifest.taxonomy.name_of(manifest.labels[8]) == "Große Tasche"
    (network,) = manifest.networks.values()
    assert set(network.acceptance.confidence_min) == set(manifest.labels)
