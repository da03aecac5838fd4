"""The model bundle: a folder with a manifest, the contract between trainer and worker.

Standard library only. Nothing in a bundle is pickled; every file's sha256 stands in
manifest.json, and a bundle that does not verify is refused.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from catalog.errors import OperatorError

# 2: with check predictions; a bundle of format 1 gets them from
# `python -m trainer.check_predictions FOLDER`.
FORMAT = 2
MANIFEST = "manifest.json"
SERVING_MODEL = "model.tflite"
KERAS_MODEL = "model.keras"
# Inputs and the serving model's logits for them: see catalog/check_predictions.py.
CHECK = "check.npz"
REQUIRED_FILES = (SERVING_MODEL, KERAS_MODEL, CHECK)
# For photos, where a bundle says nothing of them.
CAUTIOUS_CONFIDENCE = 0.995


class BundleError(OperatorError):
    """A bundle that must not serve: says what was expected, what was found, what to do."""


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """When a confidence is high enough to need no person.

    `confidence_min` maps each label to the lowest accepted confidence, 0-1 (above 1: never
    accepted). The thresholds were chosen on validation data so that accepted items are right
    with probability `precision` or more, and those of each single label with `class_precision` or
    more, by Clopper-Pearson bounds at `guarantee_level`.
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

    `input_shape` is (height, width, channels) of one uint8 image, 0-255, light garment on black;
    `preprocessing` names the photo → model input steps the network was trained for,
    `preprocessing_parameters` has their constants; `output_shapes` maps each output of the
    signature `serve` to the shape of one item. `photos` may be absent: see photo_rule.
    """

    format: int
    model_version: str
    created_at: str
    labels: tuple[str, ...]
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
    """A bundle that was verified when it was loaded."""

    folder: Path
    manifest: Manifest

    @property
    def serving_model(self) -> Path:
        return self.folder / SERVING_MODEL

    @property
    def keras_model(self) -> Path:
        return self.folder / KERAS_MODEL


def load_bundle(folder: Path) -> Bundle:
    """Read and verify the bundle in `folder`.

    Raises:
        BundleError: the folder, the manifest or a file is missing, altered or of another format.
    """
    manifest = read_manifest(folder)
    for name in REQUIRED_FILES:
        if name not in manifest.files:
            raise BundleError(
                f"Expected {name} among the files of {folder / MANIFEST}, found "
                f"{sorted(manifest.files)}. Train or fetch the bundle again."
            )
    for name, expected in manifest.files.items():
        _verify_file(folder, name, expected)
    return Bundle(folder=folder, manifest=manifest)


def read_manifest(folder: Path) -> Manifest:
    """Read manifest.json without verifying the other files.

    Raises:
        BundleError: the manifest is missing, no JSON object, of another format, or incomplete.
    """
    path = folder / MANIFEST
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(
            f"Expected a model bundle with {MANIFEST} in {folder}, found none. "
            "Set TAGGER_BUNDLE to a bundle's folder, or run `tagger train`."
        ) from None
    except (OSError, ValueError) as error:
        raise BundleError(
            f"Expected JSON in {path}, found: {error}. Train or fetch the bundle again."
        ) from error
    if not isinstance(fields, dict) or fields.get("format") != FORMAT:
        found = fields.get("format") if isinstance(fields, dict) else type(fields).__name__
        raise BundleError(
            f"Expected bundle format {FORMAT} in {path}, found {found!r}. {_remedy(folder, found)}"
        )
    try:
        return _manifest(fields)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(
            f"Expected the fields of bundle format {FORMAT} in {path}; wrong or missing: {error}. "
            "Train or fetch the bundle again."
        ) from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json into `folder`, replacing it at once rather than in pieces."""
    aside = folder / f".{MANIFEST}.new"
    aside.write_text(json.dumps(asdict(manifest), indent=2) + "\n", encoding="utf-8")
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


def _verify_file(folder: Path, name: str, expected: str) -> None:
    path = folder / name
    # The manifest is data from outside: it must not point out of its own folder.
    if not path.resolve().is_relative_to(folder.resolve()):
        raise BundleError(
            f"Expected files inside {folder}, found {name!r}. Do not use this bundle."
        )
    if not path.is_file():
        raise BundleError(f"Expected the file {path}, found none. Fetch the bundle again.")
    found = sha256_file(path)
    if found != expected:
        raise BundleError(
            f"Expected sha256 {expected} for {path}, found {found}. Fetch the bundle again."
        )


def _manifest(fields: dict[str, Any]) -> Manifest:
    known = {name: fields[name] for name in Manifest.__dataclass_fields__ if name != "photos"}
    shapes = {name: tuple(shape) for name, shape in known["output_shapes"].items()}
    temperature = float(known["temperature"])
    if not 0 < temperature < float("inf"):
        raise ValueError(f"temperature {temperature}")
    return Manifest(
        **known
        | {
            "labels": tuple(known["labels"]),
            "input_shape": tuple(known["input_shape"]),
            "output_shapes": shapes,
            "temperature": temperature,
            "acceptance": Acceptance(**known["acceptance"]),
            "out_of_taxonomy": OutOfTaxonomy(**known["out_of_taxonomy"]),
            "photos": _photo_rule(fields.get("photos")),
        }
    )


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
