"""`tagger bench jobs`."""

import click


@click.command()
@click.option("--jobs", default=10_000, show_default=True, type=click.IntRange(1, 10_000),
              help="Jobs in one request.")  # fmt: skip
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1), help="Requests.")
@click.option(
    "--database", type=click.Choice(["postgresql", "sqlite"]), default="postgresql",
    show_default=True, help="PostgreSQL needs the test extra.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def bench_jobs(jobs: int, rounds: int, database: str, as_json: bool) -> None:
    """How long the HTTP API takes to accept thousands of jobs in one request."""
    from lab.jobs import measure, render  # FastAPI, PostgreSQL: not for --help

    figures = measure(jobs, rounds, database)
    click.echo(figures.as_json() if as_json else render(figures))
