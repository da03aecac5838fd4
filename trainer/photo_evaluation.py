"""Measure on product photos of one's own, each judged as the worker judges it."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalog.acceptance import flags, rule_for
from catalog.bundle import Bundle
from catalog.failures import DecodeFailure
from catalog.images.decode import decode
from catalog.images.model_input import Glance, ModelInput, glance, model_input
from catalog.images.network_input import InputKind, network_input
from catalog.images.preprocessing import DECODE_PX
from catalog.networks import NetworkName, PictureKind
from catalog.out_of_taxonomy import SCORES, stored_parameters
from catalog.statistics import Proportion, mixed, softmax
from catalog.taxonomy.files import shipped
from catalog.taxonomy.reserved import NOT_IN_TAXONOMY
from trainer.fashion_mnist.classes import LABELS
from trainer.fashion_mnist.dataset import DatasetError
from trainer.helping import helpers_confidences
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


def photo_table(bundle: Bundle, manifest: Path) -> dict[str, Any]:
    """Accuracy, confidence, acceptance and strangeness, by set of photos."""
    photos = read_photos(manifest)
    judges = {name: ServingModel(part.serving_model) for name, part in bundle.parts.items()}
    table = {}
    for name in dict.fromkeys(photo.set for photo in photos):
        mine = [photo for photo in photos if photo.set == name]
        table[name] = set_figures(bundle, judges, mine)
    return table


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What a bundle says of N photos.

    confidences: float64 (N, classes). strangeness: float32 (N,), comparable among photos of one
    network. accepted, poor, by_photo_network (it spoke, not the 28×28 network): bool (N,).
    """

    confidences: NDArray[np.float64]
    strangeness: NDArray[np.float32]
    accepted: NDArray[np.bool_]
    poor: NDArray[np.bool_]
    by_photo_network: NDArray[np.bool_]


def set_figures(
    bundle: Bundle, judges: Mapping[NetworkName, ServingModel], photos: list[Photo]
) -> dict[str, Any]:
    """The figures of one set; photos that do not decode are counted and left out.

    Each is judged by the network and the rule that serve it, before a shop's reviews have earned
    more. Proportions come with their 95 % Wilson intervals, exact labels first.
    """
    pictures = [load_picture(photo.path) for photo in photos]
    read = [photo for photo, found in zip(photos, pictures, strict=True) if found is not None]
    judged = judge(bundle, judges, [found for found in pictures if found is not None])
    accepted, score = judged.accepted, judged.strangeness
    right = rightly_named(read, judged.confidences.argmax(axis=1))
    known = np.array([photo.label != NOT_IN_TAXONOMY for photo in read])
    exact = np.array([photo.exact for photo in read])
    confidence = judged.confidences.max(axis=1)
    return {
        "photos": len(photos),
        "unreadable": len(photos) - len(read),
        "accuracy_exact": proportion(right, known & exact),
        "accuracy": proportion(right, known),
        "poor_image_flagged": proportion(judged.poor, known),
        "mean_confidence": float(confidence[known].mean()) if known.any() else None,
        "accepted_coverage": proportion(accepted, known),
        "accepted_precision_exact": proportion(right, known & exact & accepted),
        "accepted_precision": proportion(right, known & accepted),
        # What is in no class is wrong, whatever it is called.
        "accepted_precision_with_strangers": proportion(right & known, accepted),
        "strangers": int((~known).sum()),
        "strangers_flagged_exact": proportion(~accepted, ~known & exact),
        "strangers_flagged": proportion(~accepted, ~known),
        "by_network": {
            name: network_figures(mine, known, exact, right, accepted, score)
            for name, mine in (
                (NetworkName.REDUCED.value, ~judged.by_photo_network),
                (NetworkName.PHOTO.value, judged.by_photo_network),
            )
            if mine.any()
        },
        "by_class": {
            label: class_figures(right, exact, np.array([each.label == label for each in read]))
            for label in LABELS
            if any(each.label == label for each in read)
        },
    }


def judge(
    bundle: Bundle,
    judges: Mapping[NetworkName, ServingModel],
    pictures: Sequence[NDArray[np.uint8]],
    *,
    helped: NDArray[np.float64] | None = None,
) -> Judged:
    """The word of the network that serves each decoded picture, uint8 (H, W, 3).

    helped: float64 (N, classes), what the photo network's helper says of all, where that is known.
    """
    count, labels = len(pictures), bundle.manifest.labels
    found = Judged(
        confidences=np.zeros((count, len(labels))),
        strangeness=np.zeros(count, np.float32),
        accepted=np.zeros(count, np.bool_),
        poor=np.zeros(count, np.bool_),
        by_photo_network=np.zeros(count, np.bool_),
    )
    glances = [glance(picture) for picture in pictures]
    for sort in PictureKind:
        mine = np.array([place for place, seen in enumerate(glances) if seen.kind is sort], int)
        if len(mine):
            rule = rule_for(bundle.manifest, kind=sort)
            part = bundle.part(rule.network)
            kind = InputKind(network=part.name, side_px=part.network.input[0])
            inputs = [network_input(pictures[place], kind, glances[place]) for place in mine]
            found.by_photo_network[mine] = part.name is NetworkName.PHOTO
            outputs = judges[part.name](np.stack([each.pixels for each in inputs]))
            found.poor[mine] = [each.poor is not None for each in inputs]
            temperature = rule.photo_temperature or part.network.temperature
            confidences = softmax(outputs.logits, temperature)
            if rule.mixture is not None:
                plain = [(pictures[place], glances[place]) for place in mine]
                reduced = _of_helper(bundle, judges, plain) if helped is None else helped[mine]
                weights = rule.mixture.photo_weight, rule.mixture.reduced_weight
                mixture = mixed(confidences, weights[0], reduced, weights[1])
                confidences = np.asarray(mixture, np.float64)
            found.confidences[mine] = confidences
            found.strangeness[mine] = SCORES[part.network.out_of_taxonomy.score](
                outputs.logits, outputs.embedding, stored_parameters(part)
            )
            found.accepted[mine] = flags(
                rule,
                labels,
                found.confidences[mine],
                strangeness=found.strangeness[mine],
                poor=found.poor[mine],
            ).accepted
    return found


def _of_helper(
    bundle: Bundle,
    judges: Mapping[NetworkName, ServingModel],
    pictures: Sequence[tuple[NDArray[np.uint8], Glance]],
) -> NDArray[np.float64]:
    helper = bundle.manifest.helper
    assert helper is not None
    inputs = np.stack([model_input(picture, seen).pixels for picture, seen in pictures])
    return helpers_confidences(bundle.part(helper), judges[helper], inputs)


def network_figures(
    mine: NDArray[np.bool_],
    known: NDArray[np.bool_],
    exact: NDArray[np.bool_],
    right: NDArray[np.bool_],
    accepted: NDArray[np.bool_],
    score: NDArray[np.float32],
) -> dict[str, Any]:
    """What one network is worth on those photos that it judges; all arrays (N,).

    Only here can strangers be ranked: scores of two networks have nothing in common.
    """
    garments, strangers = score[mine & known], score[mine & ~known]
    return {
        "photos": int(mine.sum()),
        "accuracy_exact": proportion(right, mine & known & exact),
        "accepted_coverage": proportion(accepted, mine & known),
        "accepted_precision_with_strangers": proportion(right & known, mine & accepted),
        "strangers_auroc": (
            separation(garments, strangers) if len(garments) and len(strangers) else None
        ),
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


def load_picture(path: Path) -> NDArray[np.uint8] | None:
    """A decoded photo, uint8 (H, W, 3), or None where it cannot be decoded."""
    try:
        return decode(path.read_bytes(), size_px_min=DECODE_PX).pixels
    except (DecodeFailure, OSError):
        return None


def load_photo(path: Path) -> ModelInput | None:
    """What the 28×28 network would see of one photo, or None where it cannot be decoded."""
    picture = load_picture(path)
    return None if picture is None else model_input(picture)


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
