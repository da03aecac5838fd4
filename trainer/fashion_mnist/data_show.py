"""`tagger data show`: look at the training data before believing it."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from catalog.bundle import load_bundle
from catalog.networks import NetworkName
from trainer.fashion_mnist.augmentation import augment
from trainer.fashion_mnist.classes import LABELS
from trainer.fashion_mnist.config import AugmentationConfig
from trainer.fashion_mnist.dataset import Split
from trainer.fashion_mnist.label_errors import (
    Duplicates,
    LabelErrors,
    class_counts,
    find_duplicates,
    find_label_errors,
    nearest,
)
from trainer.plotting import STYLE, picture_rows, save
from trainer.serving_model import ServingModel

SHOWN = 40
IN_A_ROW = 10
# Versions of one picture, beside itself.
VARIED = 15


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What was found; the pictures and suspects.csv lie in the folder."""

    counts: dict[str, int]
    pixel_mean: float
    pixel_deviation: float
    duplicates: Duplicates
    label_errors: LabelErrors


def show(data: Split, bundle_folder: Path, folder: Path) -> Findings:
    """Write samples.png, augmentation.png, duplicates.png, label_errors.png and suspects.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    serve = ServingModel(load_bundle(bundle_folder).part(NetworkName.REDUCED).serving_model)
    neighbours = nearest(serve(data.images).embedding)
    pixels = data.images.astype(np.float32) / 255
    findings = Findings(
        counts=class_counts(data),
        pixel_mean=float(pixels.mean()),
        pixel_deviation=float(pixels.std()),
        duplicates=find_duplicates(data.images, neighbours),
        label_errors=find_label_errors(data.labels, neighbours),
    )
    with rc_context(STYLE):
        save(samples(data), folder / "samples.png")
        save(augmentation_preview(data), folder / "augmentation.png")
        save(duplicate_pairs(data, findings.duplicates), folder / "duplicates.png")
        save(label_error_sheet(data, findings.label_errors), folder / "label_errors.png")
    write_suspects(data, findings, folder / "suspects.csv")
    return findings


def samples(data: Split, columns: int = 20) -> Figure:
    """The first pictures of each class, a labelled row each."""
    rows = [np.flatnonzero(data.labels == label)[:columns] for label in range(len(LABELS))]
    counts = class_counts(data)
    titles = [f"{name}\n{counts[name]:,}" for name in LABELS]
    return picture_rows([data.images[row] for row in rows], titles)


def augmentation_preview(data: Split) -> Figure:
    """One picture of each class, first as it is, then as training sees it."""
    firsts = [np.flatnonzero(data.labels == k)[:1] for k in range(len(LABELS))]
    config, rng = AugmentationConfig(), np.random.default_rng(0)
    rows = []
    for place in firsts:
        varied = augment(data.take(np.repeat(place, VARIED)), config, rng)
        rows.append(np.concatenate([data.images[place], varied]))
    return picture_rows(rows, list(LABELS))


def duplicate_pairs(data: Split, found: Duplicates) -> Figure:
    """The most alike pairs, one above the other."""
    shown = found.pairs[: SHOWN // 2]
    return picture_rows(
        [data.images[shown[:, 0]], data.images[shown[:, 1]]],
        ["one", "other"],
        [[LABELS[data.labels[k]] for k in shown[:, side]] for side in (0, 1)],
    )


def label_error_sheet(data: Split, found: LabelErrors) -> Figure:
    """The surest suspects: the given label, and the one their neighbours have."""
    rows, captions = [], []
    for start in range(0, min(SHOWN, len(found.index)), IN_A_ROW):
        part = slice(start, start + IN_A_ROW)
        rows.append(data.images[found.index[part]])
        captions.append(
            [
                f"{LABELS[data.labels[index]]}\n→ {LABELS[suggested]}"
                for index, suggested in zip(found.index[part], found.suggested[part], strict=True)
            ]
        )
    return picture_rows(rows, captions=captions)


def write_suspects(data: Split, findings: Findings, path: Path) -> None:
    """Every finding as a line of CSV; index is the place in the training files."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(["kind", "index", "label", "other_index", "suggested_label", "value"])
        duplicates = findings.duplicates
        for (one, other), gap in zip(duplicates.pairs, duplicates.difference, strict=True):
            labels = LABELS[data.labels[one]], LABELS[data.labels[other]]
            table.writerow(["duplicate", one, labels[0], other, labels[1], f"{gap:.3f}"])
        errors = findings.label_errors
        for index, label, margin in zip(errors.index, errors.suggested, errors.margin, strict=True):
            given = LABELS[data.labels[index]]
            table.writerow(["label_error", index, given, "", LABELS[label], f"{margin:.3f}"])


def as_text(findings: Findings, folder: Path) -> str:
    """The table for people."""
    lines = [f"  {name:<12} {count:>7,}" for name, count in findings.counts.items()]
    errors, duplicates = findings.label_errors, findings.duplicates
    return "\n".join(
        [
            "Images by label",
            *lines,
            f"Pixels: mean {findings.pixel_mean:.4f}, deviation {findings.pixel_deviation:.4f} "
            "(black 0, white 1)",
            f"Near-duplicates: {len(duplicates.pairs):,} pairs, of which "
            f"{int((duplicates.difference == 0).sum()):,} equal",
            f"Suspected label errors: {len(errors.index):,}",
            f"Pictures and suspects.csv in {folder}",
        ]
    )
