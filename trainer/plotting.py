"""How every picture of the trainer looks."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

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
