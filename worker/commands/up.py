"""`tagger up`."""

import signal
import time

import click

from catalog.redaction import shown_uri
from catalog.settings import settings
from worker.local.review_desk import start_review_desk
from worker.local.stack import running

POLL_S = 0.5


@click.command()
def up() -> None:
    """Run everything on this machine until Ctrl-C.

    An embedded broker unless REDIS_URL is set, SQLite unless DATABASE_URL is set, an ingest worker,
    a bulk worker, the reconciler and the review desk; what dies is started again. Local pictures
    must lie under TAGGER_ALLOWED_ROOTS (the current folder).
    """
    # Both stop it in order, also where a shell starts its background jobs with SIGINT ignored.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with running(settings()) as system:
        chosen = system.settings
        click.echo(f"Broker    {shown_uri(chosen.redis_url or '')}")
        click.echo(f"Database  {shown_uri(chosen.database)}")
        click.echo(f"Bundle    {chosen.bundle}")
        click.echo(f"Logs      {system.logs}")
        click.echo(f"Review    {start_review_desk(system)}")
        click.echo("Enqueue with `tagger enqueue PATH`, look with `tagger status`; Ctrl-C stops.")
        try:
            while True:
                for name in system.keep_alive():
                    click.echo(f"The {name} process died and was started again.", err=True)
                time.sleep(POLL_S)
        except KeyboardInterrupt:
            click.echo("Stopping: the workers finish their batches …", err=True)
