"""The model bundle: a folder with one to three networks, the contract between trainer and worker.

Standard library only. Nothing in a bundle is pickled; every file's sha256 stands in
manifest.json, and a bundle that does not verify is refused. What is used afterwards are the very
bytes that were verified: no file is read a second time.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from catalog.bundle_files import BundleError as BundleError
from catalog.bundle_files import read_inside, read_verified
from catalog.networks import (
    Backgrounds,
    Mixture,
    Network,
    NetworkName,
    PhotoRule,
    PictureKind,
    network_of,
)
from catalog.taxonomy.checking import LEAVES_MIN
from catalog.taxonomy.document import TaxonomyError, of_json
from catalog.taxonomy.model import Taxonomy

# 3: one or two networks, each in a folder of its own, and a taxonomy. A bundle of an earlier format
# is rewritten by `python -m trainer.upgrade_bundle FOLDER`.
FORMAT = 3
MANIFEST = "manifest.json"
TAXONOMY = "taxonomy.json"
# In each network's folder:
SERVING_MODEL = "model.tflite"
KERAS_MODEL = "model.keras"
# Inputs and the serving model's logits for them: see catalog/check_predictions.py.
CHECK = "check.npz"
SERVED_FILES = (SERVING_MODEL, CHECK)
REQUIRED_FILES = (*SERVED_FILES, KERAS_MODEL)
MANIFEST_FIELDS = (
    "format", "model_version", "created_at", "metrics", "training", "data", "libraries",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything in manifest.json.

    `labels` are ids of `taxonomy`'s categories, in the order of the networks' outputs; of the
    taxonomy, manifest.json itself holds name and version only. `networks`: one or two that judge,
    and possibly one that helps with photos.
    """

    format: int
    model_version: str
    created_at: str
    labels: tuple[str, ...]
    taxonomy: Taxonomy
    networks: Mapping[NetworkName, Network]
    metrics: Mapping[str, Any]
    training: Mapping[str, Any]
    data: Mapping[str, Any]
    libraries: Mapping[str, str]
    files: Mapping[str, str]
    licences: Mapping[str, str] = field(default_factory=dict)

    def judge_of(self, kind: PictureKind) -> NetworkName:
        """The network that judges such pictures; a bundle's only judge judges them all."""
        judges = [name for name in self.networks if name is not NetworkName.CUTOUT]
        if len(judges) == 1:
            return judges[0]
        busy_only = self.networks[NetworkName.PHOTO].backgrounds is Backgrounds.BUSY
        if kind is PictureKind.REDUCED or (kind is PictureKind.PLAIN and busy_only):
            return NetworkName.REDUCED
        return NetworkName.PHOTO

    def mixture_of(self, kind: PictureKind) -> Mixture | None:
        """How the photo network and its helper judge such pictures together, where they do."""
        if self.helper is None or kind is not PictureKind.PLAIN:
            return None
        judge = self.judge_of(kind)
        return self.networks[judge].mixture if judge is NetworkName.PHOTO else None

    @property
    def helper(self) -> NetworkName | None:
        """The 28×28 network that can help the photo network; None where one of them is missing."""
        beside = self.networks if NetworkName.PHOTO in self.networks else {}
        helpers = (NetworkName.CUTOUT, NetworkName.REDUCED)
        return next((name for name in helpers if name in beside), None)

    def photo_rule_of(self, name: NetworkName, kind: PictureKind = PictureKind.BUSY) -> PhotoRule:
        """How a network's word on such photos is judged until reviews have earned more trust."""
        network, mixture = self.networks[name], self.mixture_of(kind)
        if name is NetworkName.REDUCED:
            return network.photo_rule
        return PhotoRule(
            temperature=network.temperature,
            acceptance=(mixture or network).acceptance,
            out_of_taxonomy_threshold=(
                mixture.out_of_taxonomy_threshold if mixture else network.out_of_taxonomy.threshold
            ),
        )

    @property
    def used_files(self) -> tuple[str, ...]:
        """The files that a bundle must list: what its parts are read from."""
        return (TAXONOMY, *(place for name in self.networks for place in self.files_of(name)))

    def files_of(self, name: NetworkName) -> tuple[str, ...]:
        """The files of one network."""
        parameters = self.networks[name].out_of_taxonomy.parameters
        # Nobody teaches the one for cut-outs: it only serves.
        needed = SERVED_FILES if name is NetworkName.CUTOUT else REQUIRED_FILES
        return tuple(f"{name}/{file}" for file in (*needed, parameters) if file is not None)


@dataclass(frozen=True, kw_only=True)
class Part:
    """One network of a loaded bundle: what the manifest says of it, and its files, by name."""

    name: NetworkName
    network: Network
    labels: tuple[str, ...]
    model_version: str
    folder: Path
    contents: Mapping[str, bytes] = field(repr=False, compare=False)

    @property
    def serving_model(self) -> bytes:
        """The LiteRT model. Its bytes, not a path: a mapped file cut short kills the process."""
        return self.contents[SERVING_MODEL]

    @contextmanager
    def unpacked(self, name: str) -> Iterator[Path]:
        """A private copy of a file, for libraries that take nothing but a path."""
        with tempfile.TemporaryDirectory(prefix="tagger-bundle-") as spare:
            path = Path(spare) / PurePosixPath(name).name
            path.write_bytes(self.contents[name])
            yield path


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A bundle that was verified when it was loaded, and the bytes that were.

    sha256: the manifest's own, which stands for the whole bundle. contents: every listed file.
    """

    folder: Path
    manifest: Manifest
    sha256: str
    contents: Mapping[str, bytes] = field(repr=False, compare=False)

    @cached_property
    def parts(self) -> Mapping[NetworkName, Part]:
        """Its networks."""
        return {name: self._part(name) for name in self.manifest.networks}

    def part(self, name: NetworkName) -> Part:
        """One of its networks.

        Raises:
            BundleError: it has none of that name.
        """
        if name not in self.parts:
            raise BundleError(
                f"Expected a bundle with the network {name} in {self.folder}, found only "
                f"{', '.join(self.parts)}. Use a bundle that has it."
            )
        return self.parts[name]

    def _part(self, name: NetworkName) -> Part:
        folder = f"{name}/"
        return Part(
            name=name,
            network=self.manifest.networks[name],
            labels=self.manifest.labels,
            model_version=self.manifest.model_version,
            folder=self.folder / name,
            contents={
                place.removeprefix(folder): data
                for place, data in self.contents.items()
                if place.startswith(folder)
            },
        )

    def write(self, folder: Path, *places: str) -> None:
        """Write manifest and files, as they were verified, into a folder.

        places: how the names of those begin that are wanted; none: all of them.
        """
        for name, data in self.contents.items():
            if places and not name.startswith(places):
                continue
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)


def load_bundle(folder: Path) -> Bundle:
    """Read and verify the bundle in `folder`.

    Raises:
        BundleError: the folder, the manifest or a file is missing, altered, outside the folder,
            or of another format; or the manifest uses a file that it does not list.
    """
    written = _read_manifest(folder)
    fields = _fields(folder, written)
    contents = read_verified(folder, _files(folder, fields))
    manifest = _checked(folder, fields, contents.get(TAXONOMY))
    for name in manifest.used_files:
        if name not in manifest.files:
            raise BundleError(
                f"Expected {name} among the files of {folder / MANIFEST}, found "
                f"{sorted(manifest.files)}. Train or fetch the bundle again."
            )
    return Bundle(
        folder=folder,
        manifest=manifest,
        sha256=hashlib.sha256(written).hexdigest(),
        contents={MANIFEST: written} | contents,
    )


def read_manifest(folder: Path) -> Manifest:
    """Read manifest.json, and taxonomy.json with it, without verifying the other files.

    Raises:
        BundleError: the manifest is missing, no JSON object, of another format, or incomplete.
    """
    fields = _fields(folder, _read_manifest(folder))
    listed = TAXONOMY in _files(folder, fields)
    return _checked(folder, fields, read_inside(folder, TAXONOMY) if listed else None)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json into `folder`, replacing it at once rather than in pieces."""
    aside = folder / f".{MANIFEST}.new"
    taxonomy = {"name": manifest.taxonomy.name, "version": manifest.taxonomy.version}
    fields = {**asdict(manifest), "taxonomy": taxonomy}
    aside.write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")
    aside.replace(folder / MANIFEST)


def checksums(folder: Path) -> dict[str, str]:
    """The sha256 of every file under `folder` except the manifest, by relative POSIX path."""
    return {
        path.relative_to(folder).as_posix(): sha256_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).as_posix() != MANIFEST
    }


def sha256_file(path: Path) -> str:
    """The sha256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _remedy(folder: Path, found: object) -> str:
    if found in (1, 2):
        return f"It is older; rewrite it with `python -m trainer.upgrade_bundle {folder}`."
    return "Use a bundle made for this version, or upgrade."


def _read_manifest(folder: Path) -> bytes:
    if not (folder / MANIFEST).exists():
        raise BundleError(
            f"Expected a model bundle with {MANIFEST} in {folder}, found none. "
            "Set TAGGER_BUNDLE to a bundle's folder, or run `tagger train`."
        )
    return read_inside(folder, MANIFEST)


def _fields(folder: Path, written: bytes) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        fields = json.loads(written.decode())
    except (ValueError, RecursionError) as error:
        raise BundleError(
            f"Expected JSON in {path}, found: {error}. Train or fetch the bundle again."
        ) from error
    if not isinstance(fields, dict) or fields.get("format") != FORMAT:
        found = fields.get("format") if isinstance(fields, dict) else type(fields).__name__
        raise BundleError(
            f"Expected bundle format {FORMAT} in {path}, found {found!r}. {_remedy(folder, found)}"
        )
    return fields


def _files(folder: Path, fields: dict[str, Any]) -> dict[str, str]:
    try:
        return {str(name): str(sha256) for name, sha256 in fields["files"].items()}
    except (KeyError, AttributeError) as error:
        raise _incomplete(folder, error) from error


def _checked(folder: Path, fields: dict[str, Any], document: bytes | None) -> Manifest:
    """The manifest with its taxonomy; document: what taxonomy.json holds, where it is listed."""
    try:
        return _manifest(fields, document)
    except TaxonomyError as error:
        raise BundleError(f"{folder}: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _incomplete(folder, error) from error


def _incomplete(folder: Path, error: Exception) -> BundleError:
    return BundleError(
        f"Expected the fields of bundle format {FORMAT} in {folder / MANIFEST}; wrong or missing: "
        f"{error}. Train or fetch the bundle again."
    )


def _manifest(fields: dict[str, Any], document: bytes | None) -> Manifest:
    if document is None:
        raise ValueError(f"{TAXONOMY} among the files")
    taxonomy = of_json(document)
    _require_labels(fields, taxonomy)
    written = {name: fields[name] for name in MANIFEST_FIELDS}
    networks = {NetworkName(name): network_of(each, NetworkName(name)) for name, each in
                fields["networks"].items()}  # fmt: skip
    if not networks:
        raise ValueError("networks, of which there are none")
    if NetworkName.CUTOUT in networks and NetworkName.PHOTO not in networks:
        raise ValueError("networks, where cutout helps no photo network")
    return Manifest(
        **written
        | {
            "labels": tuple(fields["labels"]),
            "taxonomy": taxonomy,
            "networks": networks,
            "files": {str(name): str(sha256) for name, sha256 in fields["files"].items()},
            "licences": fields.get("licences", {}),
        }
    )


def _require_labels(fields: dict[str, Any], taxonomy: Taxonomy) -> None:
    named = fields["taxonomy"]
    if named != {"name": taxonomy.name, "version": taxonomy.version}:
        raise ValueError(f"taxonomy {named!r}, where {TAXONOMY} holds {taxonomy.title}")
    labels = list(fields["labels"])
    if strange := [each for each in labels if each not in taxonomy.ids]:
        raise ValueError(f"labels {strange!r}, which are no categories of {taxonomy.title}")
    if len(set(labels)) != len(labels) or len(labels) < LEAVES_MIN:
        raise ValueError(f"{len(labels)} labels, {len(set(labels))} of them different")
