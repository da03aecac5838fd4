"""The figures of one benchmark as a picture."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lab.pipeline.figures import Figures

PARTS = (
    "client",
    "broker",
    "ingest consumer",
    "bulk consumer",
    "ingest children",
    "bulk children",
    "database server",
    "upkeep",
)


def draw(figures: Figures, path: Path) -> None:
    """Images per second beside the bare loop, and CPU for each image by process; a PNG."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    FigureCanvasAgg(figure)  # draws without a display
    speed, cost = figure.subplots(1, 2)
    names = list(figures.runs)
    speed.barh(names, [run.images_per_second for run in figures.runs.values()])
    speed.axvline(figures.floor, color="black", linestyle="--", label="bare loop")
    if figures.tutorial:
        speed.axvline(figures.tutorial, color="red", linestyle=":", label="tutorial-style task")
    speed.set_xlabel(f"images per second, {figures.cores} cores")
    speed.legend(loc="lower right")
    left = [0.0] * len(names)
    for part in PARTS:
        share = [max(0.0, run.cpu_ms.get(part, 0.0)) for run in figures.runs.values()]
        cost.barh(names, share, left=left, label=part)
        left = [a + b for a, b in zip(left, share, strict=True)]
    cost.axvline(figures.floor_cpu_ms, color="black", linestyle="--", label="bare loop")
    cost.set_xlabel("ms of CPU for each image")
    cost.set_yticklabels([])
    cost.legend(fontsize="x-small")
    figure.savefig(path, dpi=120)
