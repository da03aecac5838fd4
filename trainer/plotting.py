"""How every picture of the trainer looks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

INK, ACCENT, SOFT = "#1f2430", "#2563eb", "#cbd5e1"
STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.dpi": 110,
    "savefig.bbox": "tight",
}


def save(figure: Figure, path: Path) -> None:
    """Write the figure as PNG."""
    # No creation date or version inside: the same figures give the same file.
    figure.savefig(path, metadata={"Software": None})


def picture_rows(
    rows: Sequence[NDArray[np.uint8]],
    titles: Sequence[str] | None = None,
    captions: Sequence[Sequence[str]] | None = None,
) -> Figure:
    """Garments in rows, each uint8 (N, 28, 28, 1), dark on white; a title beside each row."""
    lines, columns = max(len(rows), 1), max([len(row) for row in rows] + [1])
    height = 1.35 if captions else 0.85
    figure = Figure(figsize=(height * columns + 1.2, height * lines + 0.2))
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes in grid.ravel():
        axes.axis("off")
    for line, images in enumerate(rows):
        if titles is not None:
            grid[line, 0].text(-5, 14, titles[line], ha="right", va="center", fontsize=9)
        for column, image in enumerate(images):
            grid[line, column].imshow(255 - image[..., 0], cmap="gray", vmin=0, vmax=255)
            if captions is not None:
                grid[line, column].set_title(captions[line][column], fontsize=7)
    return figure
