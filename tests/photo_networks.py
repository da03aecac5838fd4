"""Bundles with a photo network: a tiny one that names pictures by their colour."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from catalog.bundle import (
    KERAS_MODEL,
    SERVING_MODEL,
    Bundle,
    checksums,
    read_manifest,
    write_manifest,
)
from catalog.check_predictions import CheckPredictions, write_check
from catalog.images.preprocessing import preprocessing_of
from catalog.networks import Acceptance, Network, NetworkName, OutOfTaxonomy
from catalog.settings import SHIPPED_BUNDLE
from tests.taxonomies import LABELS
from trainer.photos.bundling import helping, write_helper

# Made by tests/make_photo_network.py.
MODEL = Path(__file__).parent / "data" / "photo_network.tflite"
SIDE_PX = 64
# Of each class, in the order of LABELS.
COLOURS = (
    (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255),
    (0, 255, 255), (255, 255, 255), (0, 0, 0), (128, 128, 128), (255, 128, 0),
)  # fmt: skip


def photo_network(**fields: Any) -> Network:
    """What a manifest says of it; it accepts whatever it is half sure of."""
    defaults: dict[str, Any] = {
        "input": (SIDE_PX, SIDE_PX, 3),
        "preprocessing": preprocessing_of(NetworkName.PHOTO),
        "outputs": {"class_maps": (4, 4, len(LABELS)), "embedding": (8,)},
        "temperature": 1.0,
        "acceptance": Acceptance(
            confidence_min=dict.fromkeys(LABELS, 0.5), precision=0.97, guarantee_level=0.95
        ),
        "out_of_taxonomy": OutOfTaxonomy(score="energy", threshold=1e6),
        "backbone": {"name": "none", "origin": "made for tests", "licence": "CC0-1.0"},
    }
    return Network(**defaults | fields)


def bundle_with_photo_network(
    folder: Path, version: str = "in-colour", *, alone: bool = False, **fields: Any
) -> Path:
    """The shipped bundle with a photo network beside its own, or in its place."""
    target = Path(shutil.copytree(SHIPPED_BUNDLE, folder / version))
    manifest = read_manifest(target)
    gone = {NetworkName.PHOTO, NetworkName.CUTOUT} | ({NetworkName.REDUCED} if alone else set())
    networks = {name: each for name, each in manifest.networks.items() if name not in gone}
    for name in manifest.networks.keys() - networks.keys():
        shutil.rmtree(target / name)
    networks[NetworkName.PHOTO] = photo_network(**fields)
    mine = target / NetworkName.PHOTO
    mine.mkdir()
    shutil.copyfile(MODEL, mine / SERVING_MODEL)
    (mine / KERAS_MODEL).write_bytes(b"nothing that serving needs")
    images = np.zeros((len(COLOURS), SIDE_PX, SIDE_PX, 3), np.uint8)
    images[:] = np.array(COLOURS, np.uint8)[:, None, None]
    serve = Interpreter(model_content=MODEL.read_bytes()).get_signature_runner("serve")
    logits = serve(images=images)["class_maps"].mean(axis=(1, 2))
    write_check(mine, CheckPredictions(images=images, logits=logits))
    changed = replace(manifest, model_version=version, networks=networks, files=checksums(target))
    write_manifest(target, changed)
    return target


def with_helper(folder: Path, giver: Bundle, *, alone: bool = False) -> Path:
    """The bundle in `folder` with another's 28×28 network for cut-outs; alone: without photos'."""
    manifest, part = read_manifest(folder), giver.part(NetworkName.REDUCED)
    write_helper(folder, part)
    networks = {**manifest.networks, NetworkName.CUTOUT: helping(part)}
    if alone:
        shutil.rmtree(folder / NetworkName.PHOTO)
        del networks[NetworkName.PHOTO]
    write_manifest(folder, replace(manifest, networks=networks, files=checksums(folder)))
    return folder


def without_photo_network(folder: Path) -> Path:
    """The shipped bundle with its 28×28 network only, as a copy."""
    target = Path(shutil.copytree(SHIPPED_BUNDLE, folder))
    manifest = read_manifest(target)
    for name in manifest.networks.keys() - {NetworkName.REDUCED}:
        shutil.rmtree(target / name)
    reduced = {NetworkName.REDUCED: manifest.networks[NetworkName.REDUCED]}
    version = f"{manifest.model_version}-reduced"
    changed = replace(manifest, model_version=version, networks=reduced, files=checksums(target))
    write_manifest(target, changed)
    return target
