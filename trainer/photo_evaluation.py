"""Measure on product photos of one's own: photo → model input as the worker makes it."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalog.acceptance import flags
from catalog.bundle import Bundle
from catalog.failures import DecodeFailure
from catalog.images.decode import decode
from catalog.images.model_input import ModelInput, model_input
from catalog.images.preprocessing import DECODE_PX
from catalog.networks import NetworkName
from catalog.out_of_taxonomy import SCORES, stored_parameters
from catalog.statistics import Proportion, softmax
from catalog.taxonomy.files import shipped
from catalog.taxonomy.reserved import NOT_IN_TAXONOMY
from trainer.fashion_mnist.classes import LABELS
from trainer.fashion_mnist.dataset import DatasetError
from trainer.serving_model import ServingModel
from trainer.strangeness import separation

COLUMNS = ("path", "set", "label", "mapping")
FOOTWEAR = frozenset({"sandal", "sneaker", "ankle-boot"})
# Source labels that say footwear, and not which.
SHOES = frozenset({"shoes", "footwear"})


@dataclass(frozen=True, kw_only=True)
class Photo:
    """One line of the manifest; `exact` says that the label means what Fashion-MNIST means.

    `any_footwear`: its source says `shoes` and no more, so that every kind of footwear is right.
    """

    path: Path
    set: str
    label: str
    exact: bool
    any_footwear: bool = False


def read_photos(manifest: Path) -> list[Photo]:
    """The photos of a CSV file; their paths are relative to it.

    Raises:
        DatasetError: a column is missing.
    """
    with manifest.open(newline="", encoding="utf-8") as stream:
        rows = csv.DictReader(stream)
        taxonomy = shipped("fashion-mnist")
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
                label=taxonomy.find(row["label"]) or row["label"],
                exact=row["mapping"] == "exact",
                any_footwear=(row.get("source_label") or "").strip().lower() in SHOES,
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
    """The figures of one set; photos that do not decode are counted and left out.

    They are judged by the bundle's rule for photos, before a shop's reviews have earned more.
    Proportions come with their 95 % Wilson intervals, exact labels first.
    """
    inputs = [load_photo(photo.path) for photo in photos]
    read = [photo for photo, found in zip(photos, inputs, strict=True) if found is not None]
    seen = [found for found in inputs if found is not None]
    outputs = serve(np.stack([found.pixels for found in seen]))
    poor = np.array([found.poor is not None for found in seen])
    part = bundle.part(NetworkName.REDUCED)
    rule = part.network.photo_rule
    confidences = softmax(outputs.logits, rule.temperature)
    right = rightly_named(read, confidences.argmax(axis=1))
    known = np.array([photo.label != NOT_IN_TAXONOMY for photo in read])
    exact = np.array([photo.exact for photo in read])
    score = SCORES[part.network.out_of_taxonomy.score](
        outputs.logits, outputs.embedding, stored_parameters(part)
    )
    accepted = flags(rule, LABELS, confidences, strangeness=score, poor=poor).accepted
    return {
        "photos": len(photos),
        "unreadable": len(photos) - len(read),
        "accuracy_exact": proportion(right, known & exact),
        "accuracy": proportion(right, known),
        "poor_image_flagged": proportion(poor, known),
        "mean_confidence": float(confidences.max(axis=1)[known].mean()) if known.any() else None,
        "accepted_coverage": proportion(accepted, known),
        "accepted_precision_exact": proportion(right, known & exact & accepted),
        "accepted_precision": proportion(right, known & accepted),
        # What is in no class is wrong, whatever it is called.
        "accepted_precision_with_strangers": proportion(right & known, accepted),
        "strangers": int((~known).sum()),
        "strangers_flagged_exact": proportion(~accepted, ~known & exact),
        "strangers_flagged": proportion(~accepted, ~known),
        "strangers_auroc": (
            separation(score[known], score[~known]) if known.any() and (~known).any() else None
        ),
        "by_class": {
            label: class_figures(right, exact, np.array([each.label == label for each in read]))
            for label in LABELS
            if any(each.label == label for each in read)
        },
    }


def class_figures(
    right: NDArray[np.bool_], exact: NDArray[np.bool_], mine: NDArray[np.bool_]
) -> dict[str, Any]:
    """How many of one class are found: of those with an exact label, if any, and of all."""
    figures = {"accuracy_exact": proportion(right, mine & exact)} if (mine & exact).any() else {}
    return figures | {"accuracy": proportion(right, mine)}


def rightly_named(photos: Sequence[Photo], predicted: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of N photos got their label, bool (N,), of predicted labels int64 (N,), 0-9."""
    return np.array(
        [
            LABELS[found] == photo.label or (photo.any_footwear and LABELS[found] in FOOTWEAR)
            for photo, found in zip(photos, predicted, strict=True)
        ]
    )


def load_photo(path: Path) -> ModelInput | None:
    """What the model would see of one photo, or None where it cannot be decoded."""
    try:
        photo = decode(path.read_bytes(), size_px_min=DECODE_PX)
    except (DecodeFailure, OSError):
        return None
    return model_input(photo.pixels)


def load_input(path: Path) -> NDArray[np.uint8] | None:
    """The same as pixels alone, uint8 (28, 28, 1)."""
    found = load_photo(path)
    return None if found is None else found.pixels


def proportion(what: NDArray[np.bool_], among: NDArray[np.bool_]) -> dict[str, Any]:
    """How many of `among` are `what`: right, whole, share 0-1 (None of none), Wilson interval."""
    found = Proportion(right=int((what & among).sum()), whole=int(among.sum()))
    return {
        "right": found.right,
        "whole": found.whole,
        "share": found.share,
        "interval": list(found.interval),
    }
