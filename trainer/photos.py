"""Measure on product photos of one's own: photo → model input as the worker makes it."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalog.bundle import Bundle
from catalog.failures import DecodeFailure
from catalog.images.decode import decode
from catalog.images.model_input import model_input
from catalog.out_of_taxonomy import SCORES
from catalog.taxonomy import NOT_IN_TAXONOMY
from trainer.calibration import softmax
from trainer.dataset import DatasetError
from trainer.serving import ServingModel
from trainer.strangeness import read_parameters, separation

# As the worker decodes for thumbnails of 128 pixels.
DECODED_PX = 256
COLUMNS = ("path", "set", "label", "mapping")


@dataclass(frozen=True, kw_only=True)
class Photo:
    """One line of the manifest; `exact` says that the label means what Fashion-MNIST means."""

    path: Path
    set: str
    label: str
    exact: bool


def read_photos(manifest: Path) -> list[Photo]:
    """The photos of a CSV file; their paths are relative to it.

    Raises:
        DatasetError: a column is missing.
    """
    with manifest.open(newline="", encoding="utf-8") as stream:
        rows = csv.DictReader(stream)
        missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
        if missing:
            raise DatasetError(
                f"Expected the columns {', '.join(COLUMNS)} in {manifest}, missing: "
                f"{', '.join(missing)}. Add them; mapping is exact or approximate."
            )
        return [
            Photo(
                path=manifest.parent / row["path"],
                set=row["set"],
                label=row["label"],
                exact=row["mapping"] == "exact",
            )
            for row in rows
        ]


def photo_table(bundle: Bundle, serve: ServingModel, manifest: Path) -> dict[str, Any]:
    """Accuracy, confidence, acceptance and strangeness, by set of photos."""
    photos = read_photos(manifest)
    table = {}
    for name in dict.fromkeys(photo.set for photo in photos):
        mine = [photo for photo in photos if photo.set == name]
        table[name] = set_figures(bundle, serve, mine)
    return table


def set_figures(bundle: Bundle, serve: ServingModel, photos: list[Photo]) -> dict[str, Any]:
    """The figures of one set; photos that do not decode are counted and left out."""
    inputs = [load_input(photo.path) for photo in photos]
    read = [photo for photo, pixels in zip(photos, inputs, strict=True) if pixels is not None]
    outputs = serve(np.stack([pixels for pixels in inputs if pixels is not None]))
    manifest = bundle.manifest
    confidences = softmax(outputs.logits, manifest.temperature)
    predicted = confidences.argmax(axis=1)
    confidence = confidences.max(axis=1)
    labels = list(manifest.labels)
    right = np.array([labels[k] == photo.label for k, photo in zip(predicted, read, strict=True)])
    known = np.array([photo.label != NOT_IN_TAXONOMY for photo in read])
    exact = known & np.array([photo.exact for photo in read])
    least = np.array([manifest.acceptance.confidence_min.get(label, 2.0) for label in labels])
    score = SCORES[manifest.out_of_taxonomy.score](
        outputs.logits, outputs.embedding, read_parameters(bundle)
    )
    accepted = (confidence >= least[predicted]) & (score <= manifest.out_of_taxonomy.threshold)
    return {
        "photos": len(photos),
        "unreadable": len(photos) - len(read),
        "accuracy": share(right, known),
        "accuracy_exact": share(right, exact),
        "mean_confidence": float(confidence[known].mean()) if known.any() else None,
        "accepted_coverage": share(accepted, known),
        "accepted_precision": share(right, known & accepted),
        "strangers": int((~known).sum()),
        "strangers_accepted_coverage": share(accepted, ~known),
        "strangers_auroc": (
            separation(score[known], score[~known]) if known.any() and (~known).any() else None
        ),
    }


def load_input(path: Path) -> NDArray[np.uint8] | None:
    """The model input of one photo, uint8 (28, 28, 1), or None where it cannot be decoded."""
    try:
        photo = decode(path.read_bytes(), size_px_min=DECODED_PX)
    except (DecodeFailure, OSError):
        return None
    return model_input(photo.pixels).pixels


def share(what: NDArray[np.bool_], among: NDArray[np.bool_]) -> float | None:
    """How many of `among` are `what`, 0-1, None of none."""
    return float(what[among].mean()) if among.any() else None
