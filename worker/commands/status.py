"""`tagger status`."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click

from catalog.networks import NetworkName
from catalog.places import Places, places
from catalog.queues import BULK_QUEUE, INGEST_QUEUE
from db.command_line import looking
from db.drift.nights import Night, latest_night
from db.engine import make_engine
from db.events.vitals import Outbox, outbox
from db.ledger.summary import Summary, summarise
from db.ledger.vitals import Vitals, vitals
from db.retag.progress import Progress, progress_of_open
from db.webhooks.registering import Standing, standings
from worker.broker import BrokerError, connect, depths, redis_url
from worker.commands.tables import echo_counts
from worker.depths import BrokerSilentError, depths_at
from worker.drift.lines import line as drift_line
from worker.events.readers import line as events_line
from worker.events.readers import readers
from worker.retag.lines import line
from worker.webhooks.lines import as_fields as webhook_fields
from worker.webhooks.lines import summary as webhook_summary


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")
def status(as_json: bool) -> None:
    """Show the ledger and the queues.

    Exit code 1 when the database or the broker cannot be reached.
    """
    chosen = places()
    summary, signs, runs, night, hooks, box = _ledger(chosen)
    waiting, trouble = _queues(chosen)
    if as_json:
        found = _as_json(summary, signs, waiting, trouble)
        drift = {
            "drift": night.as_json() if night else None,
            "webhooks": [webhook_fields(each) for each in hooks],
            "events": asdict(box),
        }
        click.echo(json.dumps(found | drift | {"retag_runs": [run.as_json() for run in runs]}))
    else:
        _print(summary, waiting, trouble)
        _print_vitals(signs)
        if night:
            click.echo(f"Drift          {drift_line(night)}")
        if box.last:
            click.echo(f"Events         {events_line(box)}")
        if hooks:
            click.echo(f"Webhooks       {webhook_summary(hooks)}")
        for run in runs:
            click.echo(f"\n{line(run)}")
    raise SystemExit(1 if trouble else 0)


def _ledger(
    chosen: Places,
) -> tuple[Summary, Vitals, list[Progress], Night | None, list[Standing], Outbox]:
    now = datetime.now(UTC)
    with looking() as session:
        runs, night = progress_of_open(session, now), latest_night(session)
        hooks = standings(session)
        box = outbox(session, now, readers(chosen))
        summary = summarise(session)
        signs = vitals(session, now, summary.oldest_queued_at)
        return summary, signs, runs, night, hooks, box


def _queues(chosen: Places) -> tuple[dict[str, int], str | None]:
    queues = (INGEST_QUEUE, BULK_QUEUE)
    try:
        url = redis_url(chosen)
        found = depths_at(url, queues)
        return _depths_by_library(url, queues) if found is None else found, None
    except BrokerError as error:
        return {}, str(error)
    except BrokerSilentError as error:
        return {}, f"Expected the broker to answer: {error}. Is `tagger up` running?"


def _depths_by_library(url: str, queues: tuple[str, ...]) -> dict[str, int]:
    import redis  # see worker/depths.py

    try:
        return depths(connect(url), queues)
    except redis.RedisError as error:
        raise BrokerSilentError(str(error)) from error


def _as_json(
    summary: Summary,
    signs: Vitals,
    waiting: dict[str, int],
    trouble: str | None,
) -> dict[str, Any]:
    # All settings, NumPy and OpenCV: not for the tables.
    from catalog.settings import settings
    from worker.watch.health import all_queues, check_health

    chosen = settings()
    oldest, reconciled = summary.oldest_queued_at, signs.reconciled_at
    engine = make_engine(chosen.database, patience_s=5)
    checks = check_health(chosen, engine, all_queues())
    engine.dispose()
    return asdict(summary) | {
        "oldest_queued_at": oldest.isoformat() if oldest else None,
        "products": summary.products,
        "queues": waiting,
        "broker_error": trouble,
        "oldest_unfinished_s": signs.oldest_unfinished_s,
        "tagged_per_s": signs.tagged_per_s,
        "flag_rate": signs.flag_rate,
        "retries_planned": signs.retries_planned,
        "retries_due": signs.retries_due,
        "reconciled_at": reconciled.isoformat() if reconciled else None,
        "consumed_at": {queue: at.isoformat() for queue, at in signs.consumed_at.items()},
        "healthy": all(check.healthy for check in checks),
        "checks": {
            check.name: {"healthy": check.healthy, "detail": check.detail} for check in checks
        },
    }


def _print_vitals(signs: Vitals) -> None:
    flagged = "-" if signs.flag_rate is None else f"{100 * signs.flag_rate:.1f} %"
    click.echo(f"\nPace           {signs.tagged_per_s:.1f} tagged per second in the last minute")
    click.echo(f"Flagged        {flagged} in the last hour")
    click.echo(f"Retries        {signs.retries_planned} planned, {signs.retries_due} due")
    if signs.reconciled_at is None:
        click.echo("Reconciler     never ran")
    else:
        age_s = (datetime.now(UTC) - signs.reconciled_at).total_seconds()
        click.echo(f"Reconciler     ran {age_s:.0f} s ago")


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
    judged = {NetworkName(name).spoken: count for name, count in summary.by_network.items()}
    echo_counts("Judged by", judged, whole)
    if trouble:
        click.echo(f"\nQueues\n  {trouble}")
    else:
        echo_counts("Messages waiting", waiting, sum(waiting.values()))
