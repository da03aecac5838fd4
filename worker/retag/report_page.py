"""A run's report as one HTML file that needs nothing beside it."""

from base64 import b64encode
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from db.retag.report import Report


def render_page(report: Report) -> str:
    """The report with its thumbnails inside."""
    pages = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    sources = {cell.from_label for cell in report.cells}
    return pages.get_template("report.html").render(
        report=report,
        run=report.progress,
        counts=report.progress.counts,
        rows=sorted(sources, key=lambda label: label or ""),
        matrix={(cell.from_label, cell.to_label): cell for cell in report.cells},
        percent=_percent,
        base64=lambda data: b64encode(data).decode(),
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
