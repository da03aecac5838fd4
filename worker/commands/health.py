"""`tagger health`: for containers and people."""

import json
from dataclasses import asdict

import click

from catalog.settings import settings
from db.engine import make_engine
from worker.watch.health import all_queues, check_health

# For the database: who asks (Prometheus, a container's health check) gives up after 10 s or so.
PATIENCE_S = 5.0


@click.command()
@click.argument("queues", nargs=-1, type=click.Choice(["ingest", "bulk", "upkeep"]))
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def health(queues: tuple[str, ...], as_json: bool) -> None:
    """Check that work gets done; exit code 1 if it does not.

    The broker takes writes and evicts nothing, the database takes writes and has the newest
    schema, the bundle verifies, and each of QUEUES (all by default) was consumed lately or is
    empty; `upkeep` asks when the reconciler last ran.
    """
    chosen = settings()
    engine = make_engine(chosen.database, patience_s=PATIENCE_S)
    checks = check_health(chosen, engine, queues or all_queues())
    engine.dispose()
    if as_json:
        click.echo(json.dumps({check.name: asdict(check) for check in checks}))
    else:
        for check in checks:
            click.echo(f"{'ok ' if check.healthy else 'BAD'}  {check.name:<10}  {check.detail}")
    raise SystemExit(0 if all(check.healthy for check in checks) else 1)
