"""`tagger bench review`."""

import click


@click.command()
@click.option("--items", default=100_000, show_default=True, help="Flagged rows.")
@click.option("--decisions", default=150, show_default=True, help="Decisions to make.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def bench_review(items: int, decisions: int, as_json: bool) -> None:
    """From decision to next picture at the review desk, with a long queue.

    Measured in headless Chromium where Playwright (the test extra) and Chromium are installed,
    otherwise over HTTP; the figures say which.
    """
    from lab.review import measure, render  # FastAPI, OpenCV: not for --help

    figures = measure(items, decisions)
    click.echo(figures.as_json() if as_json else render(figures))
