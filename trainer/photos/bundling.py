"""A bundle around a photo network: with the 28×28 network of another bundle, or without."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from catalog.bundle import (
    FORMAT,
    SERVED_FILES,
    TAXONOMY,
    Bundle,
    Manifest,
    Part,
    checksums,
    load_bundle,
    write_manifest,
)
from catalog.networks import Backgrounds, Network, NetworkName, OutOfTaxonomy, network_of
from catalog.taxonomy.document import to_json
from catalog.taxonomy.model import Taxonomy
from trainer.publish import library_versions
from trainer.written_aside import written_aside


@dataclass(frozen=True, kw_only=True)
class PhotoFacts:
    """What the manifest says of a photo network beside its own part: metrics, training, data."""

    metrics: Mapping[str, Any]
    training: Mapping[str, Any]
    data: Mapping[str, Any]


def write_photo_bundle(
    folder: Path,
    part_folder: Path,
    fields: Mapping[str, Any],
    taxonomy: Taxonomy,
    facts: PhotoFacts,
    along: Bundle | None,
    helper: Part | None = None,
) -> Manifest:
    """Write a bundle with the photo network of `part_folder`, replacing one that is there.

    fields: the network's part of the manifest. along: whose 28×28 network goes along. helper: the
    28×28 network for cut-outs, where that is another one.

    Raises:
        BundleError: the disk is full, or what was written does not verify; `folder` is as it was.
    """
    with written_aside(folder) as aside:
        _copy(aside, part_folder, along)
        if helper is not None:
            write_helper(aside, helper)
        (aside / TAXONOMY).write_text(to_json(taxonomy), encoding="utf-8")
        photo = network_of(fields, NetworkName.PHOTO)
        files = checksums(aside)
        manifest = Manifest(
            format=FORMAT,
            model_version=version_of(taxonomy, files, photo),
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            labels=taxonomy.ids,
            taxonomy=taxonomy,
            networks={**_reduced(along), NetworkName.PHOTO: photo, **_cutout(helper)},
            metrics={**(along.manifest.metrics if along else {}), "photo": facts.metrics},
            training={**(along.manifest.training if along else {}), "photo": facts.training},
            data={**(along.manifest.data if along else {}), "photo": facts.data},
            libraries=library_versions(),
            files=files,
            licences={
                **(along.manifest.licences if along else {}),
                "backbone": _licence(photo.backbone or {}),
            },
        )
        write_manifest(aside, manifest)
        load_bundle(aside)
    return manifest


def with_photo_network_of(bundle: Bundle, folder: Path, manifest: Manifest) -> Manifest:
    """Put a bundle's photo network, as it is, beside the 28×28 network written in `folder`.

    The one that helps it goes with it. Returns what the manifest says then; the caller writes it.
    """
    bundle.write(folder, f"{NetworkName.PHOTO}/", f"{NetworkName.CUTOUT}/")
    helper = bundle.parts.get(NetworkName.CUTOUT)
    photo, files = bundle.part(NetworkName.PHOTO).network, checksums(folder)
    said = bundle.manifest
    facts: dict[str, Any] = {
        name: {**getattr(manifest, name), "photo": getattr(said, name)["photo"]}
        for name in ("metrics", "training", "data")
        if "photo" in getattr(said, name)
    }
    return replace(
        manifest,
        model_version=version_of(manifest.taxonomy, files, photo),
        networks={**manifest.networks, NetworkName.PHOTO: photo, **_cutout(helper)},
        licences={**said.licences, **manifest.licences},
        files=files,
        **facts,
    )


def takes_along(base: Bundle, taxonomy: Taxonomy) -> bool:
    """Whether a bundle has a 28×28 network of the very same categories."""
    return NetworkName.REDUCED in base.parts and base.manifest.labels == taxonomy.ids


def version_of(taxonomy: Taxonomy, files: Mapping[str, str], photo: Network) -> str:
    """A name that is the same for the same networks judging the same: date-free, 12 hex digits.

    photo: the photo network, which says what it judges and who helps it.
    """
    models = sorted(sha256 for name, sha256 in files.items() if name.split("/")[-1] in _MODELS)
    models += [] if photo.backgrounds is Backgrounds.ANY else [photo.backgrounds.value]
    models += [] if photo.mixture is None else [json.dumps(asdict(photo.mixture), sort_keys=True)]
    return f"{taxonomy.name}-{hashlib.sha256(json.dumps(models).encode()).hexdigest()[:12]}"


# The cheapest of scores, where nobody asks.
UNASKED = OutOfTaxonomy(score="energy", threshold=0.0)
_MODELS = ("model.keras", "model.tflite")
_FILES = (*_MODELS, "check.npz", "out_of_taxonomy.npz")


def _copy(aside: Path, part_folder: Path, along: Bundle | None) -> None:
    if along is not None:
        along.write(aside, f"{NetworkName.REDUCED}/", "report/")
    (aside / NetworkName.PHOTO).mkdir()
    for name in _FILES:
        shutil.copyfile(part_folder / name, aside / NetworkName.PHOTO / name)


def _reduced(along: Bundle | None) -> dict[NetworkName, Network]:
    return {} if along is None else {NetworkName.REDUCED: along.part(NetworkName.REDUCED).network}


def write_helper(folder: Path, helper: Part) -> None:
    """Write what serves of a 28×28 network into a bundle's folder, for cut-outs."""
    mine = folder / NetworkName.CUTOUT
    mine.mkdir()
    for name in SERVED_FILES:
        (mine / name).write_bytes(helper.contents[name])


def helping(helper: Part) -> Network:
    """What the manifest says of it: who is strange, and what needs no person, others decide."""
    return replace(helper.network, out_of_taxonomy=UNASKED, photos=None)


def _cutout(helper: Part | None) -> dict[NetworkName, Network]:
    return {} if helper is None else {NetworkName.CUTOUT: helping(helper)}


def _licence(backbone: Mapping[str, Any]) -> str:
    """Under which licence the first weights came, and from where."""
    if not backbone.get("licence"):
        return f"none needed: {backbone.get('origin', '')}"
    return f"{backbone['licence']}: {backbone['origin']}"
