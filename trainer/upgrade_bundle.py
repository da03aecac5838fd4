"""Rewrites a bundle of an earlier format: `python -m trainer.upgrade_bundle FOLDER`.

Needs no TensorFlow. The models are not touched, and so the version stays: the bundle tags as it
did. What changes is where its files are and how the manifest names them.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import click

from catalog.bundle import (
    CHECK,
    FORMAT,
    KERAS_MODEL,
    MANIFEST,
    SERVING_MODEL,
    TAXONOMY,
    BundleError,
    checksums,
    load_bundle,
)
from catalog.bundle_files import read_inside, read_verified
from catalog.images.preprocessing import preprocessing_of
from catalog.networks import NetworkName
from catalog.taxonomy.document import drafted, of_json, to_json
from catalog.taxonomy.files import shipped
from catalog.taxonomy.model import Taxonomy
from trainer.check_predictions import write_check_predictions
from trainer.written_aside import written_aside

OLDER = (1, 2)
# Bundles of these formats hold the 28×28 network only, at the top of the folder.
FOLDER = NetworkName.REDUCED.value
# What all networks of a bundle share; the rest of an older manifest is its one network's.
SHARED = (
    "model_version", "created_at", "labels", "taxonomy", "metrics", "training", "data", "libraries",
)  # fmt: skip
# The trainer always decoded at this size; the worker did with thumbnails of 128 pixels.
DECODED_PX = 256
DECODED_PX_NAME = "decode.size_px_min"


def upgrade_bundle(folder: Path) -> None:
    """Make a bundle of format 1 or 2 one of today's, or leave it as it is.

    Raises:
        BundleError: it is of no older format, does not verify, or the disk is full.
    """
    fields = _older(folder)
    contents = read_verified(folder, fields["files"])
    with written_aside(folder) as aside:
        for name, data in contents.items():
            place = aside / _moved(name, fields)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        fields = _with_ids(fields, contents.get(TAXONOMY))
        taxonomy = fields.pop("document")
        (aside / TAXONOMY).write_text(to_json(taxonomy), encoding="utf-8")
        if CHECK not in contents:
            write_check_predictions(aside / FOLDER)
        upgraded = _upgraded(fields) | {"files": checksums(aside)}
        (aside / MANIFEST).write_text(json.dumps(upgraded, indent=2) + "\n", encoding="utf-8")
        load_bundle(aside)
        _keep_strangers(folder, aside, fields["files"])


def _older(folder: Path) -> dict[str, Any]:
    try:
        fields = json.loads(read_inside(folder, MANIFEST))
        found = fields["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"Expected a manifest in {folder / MANIFEST}, found: {error}.") from error
    if found not in OLDER:
        raise BundleError(
            f"Expected a bundle of format {' or '.join(map(str, OLDER))} in {folder}, found "
            f"{found!r}. Only older ones are rewritten; today's is {FORMAT}."
        )
    return dict(fields)


def _moved(name: str, fields: Mapping[str, Any]) -> PurePosixPath:
    """Where a file of an older bundle is in today's."""
    mine = {SERVING_MODEL, KERAS_MODEL, CHECK, fields["out_of_taxonomy"].get("parameters")}
    return PurePosixPath(FOLDER, name) if name in mine else PurePosixPath(name)


def _upgraded(fields: Mapping[str, Any]) -> dict[str, Any]:
    """An older manifest, its labels ids already, as today's."""
    constants = dict(fields["preprocessing_parameters"])
    network = {
        "input": fields["input_shape"],
        "preprocessing": {
            "name": fields["preprocessing"],
            "decode_px": constants.pop(DECODED_PX_NAME, DECODED_PX),
            "constants": constants,
        },
        "outputs": fields["output_shapes"],
        "temperature": fields["temperature"],
        "acceptance": fields["acceptance"],
        "out_of_taxonomy": fields["out_of_taxonomy"],
        "photos": fields.get("photos"),
    }
    shared = {name: fields[name] for name in SHARED}
    return {"format": FORMAT, **shared, "networks": {FOLDER: network}, "licences": {}}


def _with_ids(fields: dict[str, Any], document: bytes | None) -> dict[str, Any]:
    """The manifest with a taxonomy; labels that were names become its ids."""
    if document is not None:
        return fields | {"document": of_json(document)}
    taxonomy, ids = _taxonomy_of(fields["labels"])
    rules: dict[str, Any] = {"acceptance": _rule_with_ids(fields["acceptance"], ids)}
    if (photos := fields.get("photos")) is not None:
        rules["photos"] = photos | {"acceptance": _rule_with_ids(photos["acceptance"], ids)}
    named = {"name": taxonomy.name, "version": taxonomy.version}
    return fields | rules | {"labels": list(ids.values()), "taxonomy": named, "document": taxonomy}


def _taxonomy_of(names: list[str]) -> tuple[Taxonomy, dict[str, str]]:
    """The taxonomy that these names are of, and the id of each: the shipped one, or bare ones."""
    taxonomy = shipped("fashion-mnist")
    by_name = {taxonomy.name_of(each): each for each in taxonomy.ids}
    if set(names) != set(by_name):
        taxonomy = drafted(names)
        by_name = dict(zip(names, taxonomy.ids, strict=True))
    return taxonomy, {name: by_name[name] for name in names}


def _rule_with_ids(rule: dict[str, Any], ids: Mapping[str, str]) -> dict[str, Any]:
    least = {ids.get(name, name): value for name, value in rule["confidence_min"].items()}
    return rule | {"confidence_min": least}


def _keep_strangers(folder: Path, aside: Path, listed: Mapping[str, str]) -> None:
    """What somebody else put into the folder stays there."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and name.as_posix() not in {*listed, MANIFEST}:
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, aside / name)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def main(folder: Path) -> None:
    """Rewrite the bundle in FOLDER to the format of this version."""
    upgrade_bundle(folder)
    same = (
        preprocessing_of(NetworkName.REDUCED)
        == load_bundle(folder).manifest.networks[NetworkName.REDUCED].preprocessing
    )
    note = "" if same else "; it was made for another preprocessing and cannot serve here"
    click.echo(f"{folder}: format {FORMAT}, it verifies{note}")


if __name__ == "__main__":
    main()
