"""`tagger status`."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click
import redis
from sqlalchemy.exc import DBAPIError

from catalog.errors import OperatorError
from catalog.jobs import BULK_QUEUE, INGEST_QUEUE
from catalog.settings import Settings, settings
from db.engine import make_engine, reading
from db.migrate import require_newest
from db.summary import Summary, summarise
from worker.broker import BrokerError, connect, depths, redis_url
from worker.commands.tables import echo_counts


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")
def status(as_json: bool) -> None:
    """Show the ledger and the queues.

    Exit code 1 when the database or the broker cannot be reached.
    """
    chosen = settings()
    summary = _summary(chosen)
    waiting, trouble = _queues(chosen)
    if as_json:
        click.echo(json.dumps(_as_json(summary, waiting, trouble)))
    else:
        _print(summary, waiting, trouble)
    raise SystemExit(1 if trouble else 0)


def _summary(chosen: Settings) -> Summary:
    engine = make_engine(chosen.database)
    try:
        require_newest(engine)
        with reading(engine)() as session:
            return summarise(session)
    except DBAPIError as error:
        shown = engine.url.render_as_string()
        raise OperatorError(f"Expected the database {shown} to answer: {error.orig}") from error


def _queues(chosen: Settings) -> tuple[dict[str, int], str | None]:
    try:
        return depths(connect(redis_url(chosen)), (INGEST_QUEUE, BULK_QUEUE)), None
    except BrokerError as error:
        return {}, str(error)
    except redis.RedisError as error:
        return {}, f"Expected the broker to answer: {error}. Is `tagger up` running?"


def _as_json(summary: Summary, waiting: dict[str, int], trouble: str | None) -> dict[str, Any]:
    oldest = summary.oldest_queued_at
    return asdict(summary) | {
        "oldest_queued_at": oldest.isoformat() if oldest else None,
        "products": summary.products,
        "queues": waiting,
        "broker_error": trouble,
    }


def _print(summary: Summary, waiting: dict[str, int], trouble: str | None) -> None:
    whole = summary.products
    echo_counts(f"Products: {whole}", summary.by_status, whole)
    if summary.oldest_queued_at:
        age_s = (datetime.now(UTC) - summary.oldest_queued_at).total_seconds()
        click.echo(f"  the oldest unfinished one was queued {age_s:.0f} s ago")
    echo_counts("Labels", summary.by_label, whole)
    echo_counts("Flag reasons", summary.flagged_by_reason, whole)
    echo_counts("Failures", summary.failed_by_reason, whole)
    echo_counts("Models", summary.by_model, whole)
    if trouble:
        click.echo(f"\nQueues\n  {trouble}")
    else:
        echo_counts("Messages waiting", waiting, sum(waiting.values()))
