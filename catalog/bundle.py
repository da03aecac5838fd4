"""The model bundle: a folder with a manifest, the contract between trainer and worker.

Standard library only. Nothing in a bundle is pickled; every file's sha256 stands in
manifest.json, and a bundle that does not verify is refused. What is used afterwards are the very
bytes that were verified: no file is read a second time.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from catalog.bundle_files import BundleError as BundleError
from catalog.bundle_files import read_inside, read_verified
from catalog.taxonomy.checking import LEAVES_MIN
from catalog.taxonomy.document import TaxonomyError, drafted, of_json
from catalog.taxonomy.model import Taxonomy

# 2: with check predictions; a bundle of format 1 gets them from
# `python -m trainer.check_predictions FOLDER`.
FORMAT = 2
MANIFEST = "manifest.json"
SERVING_MODEL = "model.tflite"
KERAS_MODEL = "model.keras"
# Inputs and the serving model's logits for them: see catalog/check_predictions.py.
CHECK = "check.npz"
# What the labels mean; a bundle without one gets bare categories of its labels' names.
TAXONOMY = "taxonomy.json"
REQUIRED_FILES = (SERVING_MODEL, KERAS_MODEL, CHECK)
# For photos, where a bundle says nothing of them.
CAUTIOUS_CONFIDENCE = 0.995


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """When a confidence is high enough to need no person.

    `confidence_min` maps each label, and parents of labels, to the lowest accepted confidence, 0-1
    (above 1: never accepted); a parent's confidence is the sum of its labels'. The thresholds were
    chosen on validation data so that accepted items are right with probability `precision` or
    more, and those of each single label with `class_precision` or more, by Clopper-Pearson bounds
    at `guarantee_level`. `class_precision`, or 0.95 if that is more, holds for what is certain as
    a parent only: see catalog/certainty.py.
    """

    confidence_min: Mapping[str, float]
    precision: float
    guarantee_level: float
    class_precision: float = 0.0


@dataclass(frozen=True, kw_only=True)
class OutOfTaxonomy:
    """How strange an image may look before it is flagged.

    `score` names the function of catalog.out_of_taxonomy (higher is stranger); `parameters` is
    the bundle's .npz file with what that function needs, or None.
    """

    score: str
    threshold: float
    parameters: str | None = None


@dataclass(frozen=True, kw_only=True)
class PhotoRule:
    """How photos are judged until a shop's own reviews have earned more trust.

    Apart from the rule for pictures that come reduced to the model input, as Fashion-MNIST does:
    what holds for those does not hold for photos. `temperature` is that of a photo's confidences,
    `out_of_taxonomy_threshold` the score above which a photo is flagged as strange.
    """

    temperature: float
    acceptance: Acceptance
    out_of_taxonomy_threshold: float


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything in manifest.json.

    `labels` are ids of `taxonomy`'s categories, in the order of the network's outputs; of the
    taxonomy, manifest.json itself holds name and version only. `input_shape` is (height, width,
    channels) of one uint8 image, 0-255, light garment on black; `preprocessing` names the photo →
    model input steps the network was trained for, `preprocessing_parameters` has their constants;
    `output_shapes` maps each output of the signature `serve` to the shape of one item. `photos`
    may be absent: see photo_rule.
    """

    format: int
    model_version: str
    created_at: str
    labels: tuple[str, ...]
    taxonomy: Taxonomy
    preprocessing: str
    preprocessing_parameters: Mapping[str, float]
    input_shape: tuple[int, ...]
    output_shapes: Mapping[str, tuple[int, ...]]
    temperature: float
    acceptance: Acceptance
    out_of_taxonomy: OutOfTaxonomy
    metrics: Mapping[str, Any]
    training: Mapping[str, Any]
    data: Mapping[str, Any]
    libraries: Mapping[str, str]
    files: Mapping[str, str]
    photos: PhotoRule | None = None

    @property
    def used_files(self) -> tuple[str, ...]:
        """The files that a bundle must list: what its parts are read from."""
        parameters = self.out_of_taxonomy.parameters
        return (*REQUIRED_FILES, parameters) if parameters is not None else REQUIRED_FILES

    @property
    def photo_rule(self) -> PhotoRule:
        """The cautious rule for photos: the bundle's own, or one that accepts only the surest."""
        if self.photos is not None:
            return self.photos
        stricter = {
            label: max(least, CAUTIOUS_CONFIDENCE)
            for label, least in self.acceptance.confidence_min.items()
        }
        return PhotoRule(
            temperature=self.temperature,
            acceptance=replace(self.acceptance, confidence_min=stricter),
            out_of_taxonomy_threshold=self.out_of_taxonomy.threshold,
        )


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A bundle that was verified when it was loaded, and the bytes that were.

    sha256: the manifest's own, which stands for the whole bundle. contents: every listed file.
    """

    folder: Path
    manifest: Manifest
    sha256: str
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

    def write(self, folder: Path) -> None:
        """Write manifest and files, as they were verified, into a new folder."""
        for name, data in self.contents.items():
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
    if found == 1:
        return (
            "It is older than the check predictions; add them with "
            f"`python -m trainer.check_predictions {folder}`."
        )
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
        fields, taxonomy = _before_taxonomies(fields)
    else:
        taxonomy = of_json(document)
        _require_labels(fields, taxonomy)
    named = [name for name in Manifest.__dataclass_fields__ if name not in ("taxonomy", "photos")]
    known = {name: fields[name] for name in named}
    known |= {"taxonomy": taxonomy}
    shapes = {name: tuple(shape) for name, shape in known["output_shapes"].items()}
    temperature = float(known["temperature"])
    if not 0 < temperature < float("inf"):
        raise ValueError(f"temperature {temperature}")
    files = {str(name): str(sha256) for name, sha256 in known["files"].items()}
    return Manifest(
        **known
        | {
            "labels": tuple(known["labels"]),
            "input_shape": tuple(known["input_shape"]),
            "output_shapes": shapes,
            "temperature": temperature,
            "acceptance": Acceptance(**known["acceptance"]),
            "out_of_taxonomy": _out_of_taxonomy(known["out_of_taxonomy"]),
            "files": files,
            "photos": _photo_rule(fields.get("photos")),
        }
    )


def _out_of_taxonomy(fields: dict[str, Any]) -> OutOfTaxonomy:
    rule = OutOfTaxonomy(**fields)
    if not isinstance(rule.parameters, str | None):
        raise ValueError(f"out_of_taxonomy.parameters {rule.parameters!r}")
    return rule


def _require_labels(fields: dict[str, Any], taxonomy: Taxonomy) -> None:
    named = fields["taxonomy"]
    if named != {"name": taxonomy.name, "version": taxonomy.version}:
        raise ValueError(f"taxonomy {named!r}, where {TAXONOMY} holds {taxonomy.title}")
    labels = list(fields["labels"])
    if strange := [each for each in labels if each not in taxonomy.ids]:
        raise ValueError(f"labels {strange!r}, which are no categories of {taxonomy.title}")
    if len(set(labels)) != len(labels) or len(labels) < LEAVES_MIN:
        raise ValueError(f"{len(labels)} labels, {len(set(labels))} of them different")


def _before_taxonomies(fields: dict[str, Any]) -> tuple[dict[str, Any], Taxonomy]:
    """A manifest of before there were taxonomies: its labels are names, and become ids."""
    names = list(fields["labels"])
    taxonomy = drafted(names)
    ids = dict(zip(names, taxonomy.ids, strict=True))
    rules = {"acceptance": _rule_with_ids(fields["acceptance"], ids)}
    if fields.get("photos") is not None:
        photos = fields["photos"]
        rules["photos"] = photos | {"acceptance": _rule_with_ids(photos["acceptance"], ids)}
    return fields | rules | {"labels": list(ids.values())}, taxonomy


def _rule_with_ids(rule: dict[str, Any], ids: dict[str, str]) -> dict[str, Any]:
    least = {ids.get(name, name): value for name, value in rule["confidence_min"].items()}
    return rule | {"confidence_min": least}


def _photo_rule(fields: dict[str, Any] | None) -> PhotoRule | None:
    if fields is None:
        return None
    temperature = float(fields["temperature"])
    if not 0 < temperature < float("inf"):
        raise ValueError(f"temperature {temperature} of photos")
    return PhotoRule(
        temperature=temperature,
        acceptance=Acceptance(**fields["acceptance"]),
        out_of_taxonomy_threshold=float(fields["out_of_taxonomy_threshold"]),
    )
