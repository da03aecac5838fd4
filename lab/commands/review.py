"""`tagger bench review`."""

from pathlib import Path

import click


@click.command()
@click.option("--items", default=100_000, show_default=True, help="Flagged rows.")
@click.option("--decisions", default=150, show_default=True, help="Decisions to make.")
@click.option(
    "--photos",
    "photo_manifest",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Instead: how pure groups of look-alikes are, of a CSV of path, set, label, mapping.",
)
@click.option("--set", "set_name", help="With --photos: of its sets.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def bench_review(
    items: int, decisions: int, photo_manifest: Path | None, set_name: str | None, as_json: bool
) -> None:
    """From decision to next picture at the review desk, with a long queue.

    Measured in headless Chromium where Playwright (the test extra) and Chromium are installed,
    otherwise over HTTP; the figures say which. With --photos and --set, how many photos of a group
    of look-alikes share one true label, by the bundle that serves.
    """
    if photo_manifest is not None:
        if set_name is None:
            raise click.UsageError("--photos needs --set: which of its sets to look at.")
        from lab.alike import measure_alike, render_alike  # LiteRT: not for --help

        found = measure_alike(photo_manifest, set_name)
        click.echo(found.as_json() if as_json else render_alike(found))
        return
    from lab.review import measure, render  # FastAPI, OpenCV: not for --help

    figures = measure(items, decisions)
    click.echo(figures.as_json() if as_json else render(figures))
