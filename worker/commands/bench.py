"""`tagger bench`: speed and memory, measured here and now."""

import click

from catalog.images.fuzz import fuzz


@click.group()
def bench() -> None:
    """Measure speed and memory, and hunt crashes of the decoder."""


bench.add_command(fuzz)


@bench.command()
@click.option("--photos", "count", default=500, show_default=True, help="Photos to generate.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def serve(count: int, as_json: bool) -> None:
    """Images per second on 1,000×1,333-px JPEGs, by stage, and the memory of a worker child."""
    from worker.bench_serve import measure, render  # numpy, LiteRT: not for --help

    result = measure(count)
    click.echo(result.as_json() if as_json else render(result))
