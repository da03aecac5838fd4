"""The report: PNGs and one self-contained HTML page."""

import base64
import html
from collections.abc import Mapping
from pathlib import Path

import matplotlib

from trainer import figures
from trainer.evaluate import Measured
from trainer.plotting import STYLE, save
from trainer.tables import Row, headline, sections

PAGE = "index.html"
TITLES: Mapping[str, tuple[str, str]] = {
    "learning_curves": ("Learning curves", "Validation is measured on the averaged weights."),
    "confusion_matrix": ("Confusion matrix", "Percent of each true label."),
    "worst_pairs": ("The worst confusions", "The pictures behind the largest numbers above."),
    "reliability_diagram": (
        "Can confidences be believed?",
        "On the line, of the items with 80 % confidence 80 % are right.",
    ),
    "risk_coverage_curve": (
        "How much needs no person?",
        "Items are accepted from the most confident down.",
    ),
    "corruption_bars": ("Spoiled pictures", "All fifteen kinds occur in the augmentation."),
    "grad_cam_sheet": (
        "Explanations",
        "One right prediction a label (upper half), one wrong (lower half). The prediction is the "
        "mean of the map.",
    ),
    "confident_errors": ("The most confident errors", "Many labels here a person would dispute."),
}
PAGE_STYLE = """
:root { color-scheme: light; --ink: #1f2430; --soft: #64748b; --line: #e2e8f0; --accent: #2563eb }
* { box-sizing: border-box }
body { margin: 0; font: 16px/1.55 system-ui, 'DejaVu Sans', sans-serif; color: var(--ink);
  background: #f8fafc }
main { max-width: 1080px; margin: 0 auto; padding: 40px 24px 80px }
h1 { font-size: 30px; margin: 0 0 4px; letter-spacing: -0.02em }
h2 { font-size: 19px; margin: 0 0 4px }
p { margin: 0 0 12px; color: var(--soft) }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(160px, 1fr)); gap: 14px;
  margin: 28px 0 }
.tile, section { background: #fff; border: 1px solid var(--line); border-radius: 12px }
.tile { padding: 16px 18px }
.tile b { display: block; font-size: 26px; letter-spacing: -0.02em }
.tile span { color: var(--soft); font-size: 14px }
section { padding: 22px 24px; margin: 0 0 18px; overflow-x: auto }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 18px }
.pair section { margin: 0 }
.pair { margin-bottom: 18px }
img { max-width: 100%; height: auto; display: block; margin: 8px auto 0 }
table { border-collapse: collapse; width: 100%; font-size: 14px }
td { padding: 5px 8px; border-top: 1px solid var(--line) }
td:last-child { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
"""


def write_report(measured: Measured, log: Path | None, folder: Path) -> None:
    """Write every figure and index.html into `folder`; `log` is the run's CSV, if it is known."""
    folder.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE):
        drawn = {
            "confusion_matrix": figures.confusion_matrix(measured),
            "worst_pairs": figures.worst_pairs(measured),
            "reliability_diagram": figures.reliability_diagram(measured),
            "risk_coverage_curve": figures.risk_coverage_curve(measured),
            "corruption_bars": figures.corruption_bars(measured),
            "grad_cam_sheet": figures.grad_cam_sheet(measured),
            "confident_errors": figures.confident_errors(measured),
        }
        if log is not None and log.is_file():
            drawn = {"learning_curves": figures.learning_curves(log), **drawn}
        for name, figure in drawn.items():
            save(figure, folder / f"{name}.png")
    (folder / PAGE).write_text(page(measured, folder, list(drawn)), encoding="utf-8")


def page(measured: Measured, folder: Path, names: list[str]) -> str:
    """The HTML page with its pictures inside."""
    tiles = "".join(
        f"<div class=tile><b>{html.escape(row.value)}</b><span>{html.escape(row.name)}</span></div>"
        for row in headline(measured.figures)
    )
    parts = [_figure(folder, name) for name in names]
    tables = "".join(_table(title, rows) for title, rows in sections(measured.figures).items())
    version = html.escape(measured.figures["model_version"])
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width'>"
        f"<title>{version}</title><style>{PAGE_STYLE}</style><main>"
        "<h1>Catalog tagger: the model</h1>"
        f"<p>{version}, measured on {measured.figures['images']:,} test images from the int8 "
        "serving model. Printed by <code>tagger evaluate</code>.</p>"
        f"<div class=tiles>{tiles}</div>{''.join(parts)}<div class=pair>{tables}</div></main>\n"
    )


def _figure(folder: Path, name: str) -> str:
    title, words = TITLES[name]
    data = base64.b64encode((folder / f"{name}.png").read_bytes()).decode()
    return (
        f"<section><h2>{html.escape(title)}</h2><p>{html.escape(words)}</p>"
        f"<img alt='{html.escape(title)}' src='data:image/png;base64,{data}'></section>"
    )


def _table(title: str, rows: list[Row]) -> str:
    lines = "".join(f"<tr><td>{html.escape(row.name)}<td>{html.escape(row.value)}" for row in rows)
    return f"<section><h2>{html.escape(title)}</h2><table>{lines}</table></section>"
