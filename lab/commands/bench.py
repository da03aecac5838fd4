"""`tagger bench`: speed and memory, measured here and now."""

from pathlib import Path

import click

from catalog.cli import LazyGroup
from catalog.settings import settings
from lab.fuzz.decoder import fuzz

# By name, imported when they run; other parts' benchmarks are imported nowhere else.
LAZY = {
    "pipeline": (
        "lab.commands.pipeline",
        "pipeline",
        "From the queue to the row, beside a bare loop.",
    ),
    "start": (
        "lab.commands.pipeline",
        "start",
        "From the workers' start to the first tagging.",
    ),
    "floor": (
        "lab.commands.pipeline",
        "floor",
        "What a photo costs by format and stage.",
    ),
    "remote": (
        "lab.commands.pipeline",
        "remote",
        "Photos from HTTP hosts and S3 beside local ones.",
    ),
    "regression": (
        "lab.commands.pipeline",
        "regression",
        "The pipeline's ratios beside the recorded ones.",
    ),
    "experiments": (
        "lab.commands.pipeline",
        "experiments",
        "What each step costs when it is done otherwise.",
    ),
    "events": ("lab.commands.pipeline", "events", "What events add to recording a batch."),
    "adapt": ("lab.commands.adapt", "bench_adapt", "What corrections teach: learning curve."),
    "loop": (
        "lab.commands.loop",
        "bench_loop",
        "Review, learn, try out, promote, tag again: what goes to a person.",
    ),
    "jobs": ("lab.commands.jobs", "bench_jobs", "Thousands of jobs in one HTTP request."),
    "review": ("lab.commands.review", "bench_review", "The review desk with a long queue."),
}


@click.group(cls=LazyGroup, lazy=LAZY)
def bench() -> None:
    """Measure speed and memory, and hunt crashes of the decoder."""


bench.add_command(fuzz)


@bench.command()
@click.option("--photos", "count", default=500, show_default=True, help="Photos to generate.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def serve(count: int, as_json: bool) -> None:
    """Images per second on 1,000×1,333-px JPEGs, by stage, and the memory of a worker child."""
    from lab.serving import measure, render  # numpy, LiteRT: not for --help

    result = measure(count)
    click.echo(result.as_json() if as_json else render(result))


@bench.command()
@click.option("--short", is_flag=True, help="Fewer items and shorter outages.")
@click.option("--only", default="", metavar="TEXT", help="Only the cases whose name holds TEXT.")
@click.option("--items", type=click.IntRange(min=20), help="Items of each case.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def faults(short: bool, only: str, items: int | None, as_json: bool) -> None:
    """Break the system in every known way, and count what was lost or doubled.

    Real broker, SQLite and PostgreSQL (the test extra), real processes. Exit code 1 if anything
    was lost or doubled, or failed that should not have.
    """
    from lab.faults.cases import Scale  # numpy, PostgreSQL: not for --help
    from lab.faults.report import print_table
    from lab.faults.suite import FULL, SHORT, run

    scale = SHORT if short else FULL
    if items is not None:
        scale = Scale(items=items, outage_s=scale.outage_s)
    raise SystemExit(0 if print_table(run(scale, only=only), as_json=as_json) else 1)


@bench.command()
@click.option("--images", "count", default=200_000, show_default=True, help="Pictures to tag.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def memory(count: int, as_json: bool) -> None:
    """Resident memory of one child over many pictures, small ones and 1,000×1,333-px photos."""
    from lab.memory import measure, render  # numpy, LiteRT: not for --help

    result = measure(count)
    click.echo(result.as_json() if as_json else render(result))


@bench.command()
@click.option("--photos", "count", default=640, show_default=True, help="Photos of each mode.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def models(count: int, as_json: bool) -> None:
    """What a shadow and a canary cost, and how fast a promotion and a rollback take effect."""
    from lab.models import measure, render  # numpy, LiteRT: not for --help

    result = measure(count)
    click.echo(result.as_json() if as_json else render(result))


@bench.command()
@click.option("--products", default=1_000_000, show_default=True, help="Products in the ledger.")
@click.option("--singles", default=150, show_default=True, help="Ingest jobs, idle and busy each.")
@click.option("--only", type=click.Choice(["sqlite", "postgresql"]), help="One database only.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def retag(products: int, singles: int, only: str | None, as_json: bool) -> None:
    """How long a new product waits while the whole catalog is tagged again, and what that costs.

    Real broker and workers, a ledger of a million products on SQLite and PostgreSQL (the test
    extra), a run over all of them; turns with and without new products alternate.
    """
    from lab.retag import measure_all, render  # numpy, LiteRT: not for --help

    for result in measure_all(products, singles, only):
        click.echo(result.as_json() if as_json else render(result))


@bench.command()
@click.option("--rows", default=1_000_000, show_default=True, help="Products in the ledger.")
@click.option("--only", type=click.Choice(["sqlite", "postgresql"]), help="One database only.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def ledger(rows: int, only: str | None, as_json: bool) -> None:
    """Seconds of a run's pages and bytes of an item, in a ledger of a million made-up products.

    On SQLite and PostgreSQL (the test extra); some 3 GB of disk for a million.
    """
    from lab.scale.measuring import measure, render  # PostgreSQL: not for --help

    for figures in measure(rows, only):
        click.echo(figures.as_json() if as_json else render(figures))


@bench.command()
@click.option(
    "--products",
    "sizes",
    multiple=True,
    type=click.IntRange(min=1000),
    help="A ledger of so many; once for each size.  [default: 100000, 1000000]",
)
@click.option(
    "--children",
    multiple=True,
    type=click.IntRange(min=1),
    help="So many bulk children; once for each number.  [default: 1, 2, 4]",
)
@click.option("--images", default=1024, show_default=True, help="Photos of each run.")
@click.option(
    "--turns", default=3, show_default=True, type=click.IntRange(min=0),
    help="Runs on each ledger with each number; 0: no pace.",
)  # fmt: skip
@click.option("--only", type=click.Choice(["sqlite", "postgresql"]), help="One database only.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the ledgers here, and use those that an earlier call has filled.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def growth(
    sizes: tuple[int, ...],
    children: tuple[int, ...],
    images: int,
    turns: int,
    only: str | None,
    folder: Path | None,
    as_json: bool,
) -> None:
    """What grows with the ledger: pace, status, the desk's next item, planning a night's run.

    On SQLite and PostgreSQL (the test extra); some 2 minutes and 1 GB of disk to fill a ledger of a
    million.
    """
    from lab.scale.growth import HEAD, Plan, measure, render  # numpy, PostgreSQL: not for --help

    default = Plan()
    plan = Plan(
        sizes=sizes or default.sizes,
        children=children or default.children,
        images=images,
        turns=turns,
        databases=(only,) if only else default.databases,
        folder=folder,
    )
    if not as_json:
        click.echo(HEAD)
    for found in measure(plan):
        click.echo(found.as_json() if as_json else render(found))


@bench.command()
@click.option("--rows", default=1_000_000, show_default=True, help="Thumbnails, and products.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where `bench growth` keeps its ledgers; one of so many products is used again.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def thumbnails(rows: int, folder: Path | None, as_json: bool) -> None:
    """One table of thumbnails beside partitioned ones: written, read, deleted, on PostgreSQL.

    With the test extra; some 14 GB of disk for a million.
    """
    from lab.scale.partitions import measure, render  # PostgreSQL: not for --help

    found = measure(rows, folder)
    click.echo("\n".join(each.as_json() for each in found) if as_json else render(found))


@bench.command()
@click.option("--events", default=50, show_default=True, help="Events, one after another.")
@click.option("--only", type=click.Choice(["sqlite", "postgresql"]), help="One database only.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def webhooks(events: int, only: str | None, as_json: bool) -> None:
    """How long an event is on its way to a receiver of webhooks, on an idle system."""
    from lab.webhooks import measure, render  # PostgreSQL: not for --help

    for found in measure(events, only):
        click.echo(found.as_json() if as_json else render(found))


@bench.command()
@click.option("--items-per-s", type=float, required=True, help="Of one bulk child: bench serve.")
@click.option("--product-bytes", type=float, required=True, help="bench ledger says these three,")
@click.option("--tagging-bytes", type=float, required=True, help="each with its indexes.")
@click.option("--thumbnail-bytes", type=float, required=True)
def sizing(**measured: float) -> None:
    """What 1, 10 and 100 million products need, from costs that were measured."""
    from lab.scale.sizing import Costs, render

    click.echo(render(Costs(**measured), settings()))
