"""The report's pictures: one function a figure, each from measured values alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from trainer.calibration import BINS, reliability
from trainer.checkpoints import read_log
from trainer.evaluate import Measured
from trainer.faithfulness import grad_cam, to_pixels
from trainer.fashion_mnist.classes import LABELS
from trainer.plotting import ACCENT, INK, SOFT, picture_rows

WORST_PAIRS = 5
ERROR_ROWS = 4
IN_A_ROW = 8  # pictures


def learning_curves(log: Path) -> Figure:
    """Accuracy and loss of every epoch, training and validation, from the run's CSV log."""
    rows = read_log(log)
    epochs = [int(row["epoch"]) + 1 for row in rows]
    figure = Figure(figsize=(9, 3.2))
    panels = figure.subplots(1, 2)
    for panel, name in zip(panels, ("accuracy", "loss"), strict=True):
        for prefix, label, colour in (
            ("", "training, augmented", SOFT),
            ("val_", "validation", ACCENT),
        ):
            values = [float(row[prefix + name]) for row in rows]
            panel.plot(epochs, values, color=colour, marker="o", markersize=3, label=label)
        panel.set(xlabel="epoch", ylabel=name)
        panel.legend(frameon=False)
    return figure


def confusion_matrix(measured: Measured) -> Figure:
    """How often each true label (row) got each label (column), percent of the row."""
    counts = confusion(measured)
    share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(6.4, 5.6))
    axes = figure.subplots()
    axes.imshow(np.sqrt(share), cmap="Blues", vmin=0, vmax=10)
    for row, column in np.ndindex(share.shape):
        if share[row, column] >= 0.05:
            colour = "white" if share[row, column] > 50 else INK
            text = f"{share[row, column]:.1f}"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(LABELS)), LABELS, rotation=45, ha="right")
    axes.set_yticks(range(len(LABELS)), LABELS)
    axes.set(xlabel="predicted", ylabel="true")
    axes.spines[:].set_visible(False)
    return figure


def worst_pairs(measured: Measured) -> Figure:
    """For each of the most frequent confusions, the pictures it happened to."""
    counts = confusion(measured)
    np.fill_diagonal(counts, 0)
    worst = np.argsort(-counts, axis=None)[:WORST_PAIRS]
    rows, titles = [], []
    for true, predicted in zip(*np.unravel_index(worst, counts.shape), strict=True):
        found = (measured.test.labels == true) & (measured.predicted == predicted)
        chosen = np.flatnonzero(found)
        confidence = measured.confidences[chosen].max(axis=1)
        rows.append(chosen[np.argsort(-confidence)][:IN_A_ROW])
        titles.append(f"{LABELS[true]} called {LABELS[predicted]}\n{len(chosen)} times")
    return _picture_rows(measured, rows, titles)


def reliability_diagram(measured: Measured) -> Figure:
    """Share right against confidence, 15 bins, and how many items each holds."""
    top = measured.confidences.max(axis=1)
    mean, share, count = reliability(top, measured.right, np.linspace(0, 1, BINS + 1)).T
    used = count > 0
    figure = Figure(figsize=(4.6, 4.8))
    upper, lower = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    upper.plot([0, 1], [0, 1], color=SOFT, linestyle="--", label="perfect")
    upper.plot(mean[used], share[used], color=ACCENT, marker="o", label="the serving model")
    upper.set(ylabel="share right", ylim=(0, 1.02))
    upper.legend(frameon=False)
    lower.bar((np.arange(BINS) + 0.5) / BINS, count, width=0.9 / BINS, color=SOFT)
    lower.set(xlabel="confidence", ylabel="items", yscale="log")
    return figure


def risk_coverage_curve(measured: Measured) -> Figure:
    """Error rate among the accepted against the share accepted."""
    curve = measured.curve
    figure = Figure(figsize=(4.6, 3.6))
    axes = figure.subplots()
    axes.plot(100 * curve.coverage, 100 * curve.risk, color=ACCENT)
    axes.axhline(1, color=SOFT, linestyle="--")
    at = 100 * curve.coverage_at(0.99)
    axes.annotate(
        f"{at:.1f} % accepted\nat 1 % error",
        (at, 1),
        (max(at - 55, 2), 2.2),
        arrowprops={"arrowstyle": "-", "color": INK},
    )
    axes.set(xlabel="accepted, %", ylabel="errors among the accepted, %", xlim=(0, 100))
    axes.set_ylim(bottom=0)
    return figure


def corruption_bars(measured: Measured) -> Figure:
    """Accuracy on each kind of spoiled picture."""
    table = {"clean": measured.figures["accuracy"], **measured.figures["corruptions"]}
    names = list(table)
    figure = Figure(figsize=(6.4, 4.6))
    axes = figure.subplots()
    colours = [INK if name in ("clean", "mean") else ACCENT for name in names]
    bars = axes.barh(names, [100 * value for value in table.values()], color=colours, height=0.7)
    axes.bar_label(bars, fmt="%.1f", padding=3, fontsize=8)
    axes.invert_yaxis()
    axes.set(xlabel="accuracy, %", xlim=(0, 108))
    return figure


def grad_cam_sheet(measured: Measured) -> Figure:
    """For each label a right prediction, and beneath it a wrong one, with its class map."""
    rows = []
    for wanted in (measured.right, ~measured.right):
        found = [np.flatnonzero(wanted & (measured.predicted == k)) for k in range(len(LABELS))]
        rows.append([int(places[0]) if len(places) else None for places in found])
    figure = Figure(figsize=(1.15 * len(LABELS), 6))
    grid = figure.subplots(4, len(LABELS), gridspec_kw={"hspace": 0.45})
    for line, places in enumerate(rows):
        for column, place in enumerate(places):
            _explained(grid[2 * line, column], grid[2 * line + 1, column], measured, place)
    return figure


def confident_errors(measured: Measured) -> Figure:
    """The errors that the model was surest of; many are labels a person would dispute."""
    wrong = np.flatnonzero(~measured.right)
    order = wrong[np.argsort(-measured.confidences[wrong].max(axis=1))][: ERROR_ROWS * IN_A_ROW]
    rows = [order[start : start + IN_A_ROW] for start in range(0, len(order), IN_A_ROW)]
    return _picture_rows(measured, rows)


def confusion(measured: Measured) -> NDArray[np.int64]:
    """Counts, int64 (10, 10): rows are true labels, columns predicted ones."""
    counts = np.zeros((len(LABELS), len(LABELS)), np.int64)
    np.add.at(counts, (measured.test.labels, measured.predicted), 1)
    return counts


def overlay(image: NDArray[np.uint8], cam: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The picture with its class map laid over it, uint8 RGB (28, 28, 3)."""
    peak = float(cam.max())
    heat = np.rint(255 * cam / peak).astype(np.uint8) if peak > 0 else np.zeros_like(image[..., 0])
    coloured = cv2.cvtColor(cv2.applyColorMap(heat, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    grey = np.repeat(image, 3, axis=2)
    return np.asarray(cv2.addWeighted(grey, 0.55, coloured, 0.45, 0))


def _explained(above: Any, below: Any, measured: Measured, place: int | None) -> None:
    for axes in (above, below):
        axes.axis("off")
    if place is None:
        return
    label = measured.predicted[place : place + 1]
    cam = to_pixels(grad_cam(measured.outputs.class_maps[place : place + 1], label))[0]
    image = measured.test.images[place]
    above.imshow(255 - image[..., 0], cmap="gray", vmin=0, vmax=255)
    above.set_title(_verdict(measured, place), fontsize=7)
    below.imshow(overlay(image, cam))


def _picture_rows(
    measured: Measured, rows: Sequence[NDArray[np.int64]], titles: Sequence[str] | None = None
) -> Figure:
    pictures = [measured.test.images[row] for row in rows]
    captions = [[_verdict(measured, int(place)) for place in row] for row in rows]
    return picture_rows(pictures, titles, captions)


def _verdict(measured: Measured, place: int) -> str:
    label = LABELS[measured.predicted[place]]
    text = f"{label} {measured.confidences[place].max():.0%}"
    return text if measured.right[place] else f"{text}\nis {LABELS[measured.test.labels[place]]}"
