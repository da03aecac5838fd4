"""`tagger metrics`."""

import click

from catalog.settings import settings
from db.engine import make_engine

# For the database: who asks (Prometheus, a container's health check) gives up after 10 s or so.
PATIENCE_S = 5.0


@click.command()
@click.option("--port", default=9108, show_default=True, type=click.IntRange(1, 65535))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--once", is_flag=True, help="Print the metrics and stop.")
def metrics(port: int, host: str, once: bool) -> None:
    """Serve Prometheus metrics at /metrics until Ctrl-C.

    Queue depths, the ledger, and what the workers that share TAGGER_HOME counted.
    """
    from prometheus_client import generate_latest, start_http_server  # not for --help

    from worker.watch.exporter import make_registry

    registry = make_registry(settings(), make_engine(settings().database, patience_s=PATIENCE_S))
    if once:
        click.echo(generate_latest(registry).decode(), nl=False)
        return
    _, thread = start_http_server(port, addr=host, registry=registry)
    click.echo(f"http://{host}:{port}/metrics")
    thread.join()
