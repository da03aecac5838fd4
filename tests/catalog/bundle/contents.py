"""Bundles to read: models of any bytes, since the contract does not look inside."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from catalog.bundle import (
    CHECK,
    FORMAT,
    KERAS_MODEL,
    MANIFEST,
    SERVING_MODEL,
    Manifest,
    checksums,
    write_manifest,
)
from catalog.networks import (
    Acceptance,
    Network,
    NetworkName,
    OutOfTaxonomy,
    Preprocessing,
)
from tests.taxonomies import FASHION_MNIST, LABELS

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


def change(folder: Path, **fields: Any) -> None:
    path = folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def change_network(folder: Path, **fields: Any) -> None:
    networks = json.loads((folder / MANIFEST).read_text())["networks"]
    change(folder, networks={"reduced": networks["reduced"] | fields})


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
