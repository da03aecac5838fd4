"""The upkeep: a Celery application of its own, as it needs none of what tagging imports.

`celery -A worker.upkeep beat` sends a tick, `celery -A worker.upkeep worker -Q upkeep --pool solo`
runs the reconciler at each, and publishes re-tagging runs.
"""

import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from celery import Celery, bootsteps, signals
from celery.exceptions import Reject
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from catalog.errors import OperatorError
from catalog.fetching.limits import FetchLimits
from catalog.fetching.posting import Poster
from catalog.queues import (
    PUBLISH_DUE,
    PUBLISH_RETAG,
    RECONCILE,
    START_RETAG,
    TEND_EVENTS,
    UPKEEP_QUEUE,
    WATCH_DRIFT,
)
from catalog.settings import settings
from db.engine import make_engine, sessions
from db.ledger.recording import record_outcomes
from db.migrate import require_newest
from worker.app import configuration
from worker.broker import connect, redis_url
from worker.client import EnqueueClient
from worker.door.admission import RECORD_REFUSAL
from worker.door.refusals import Refusal
from worker.door.transport import DoorAMQP
from worker.drift import nightly as drift_nightly
from worker.events.tending import EventTender
from worker.events.tending import schedule as event_schedule
from worker.reconciler import Reconciler
from worker.retag import schedule as retag_schedule
from worker.watch.logs import log_as_json
from worker.webhooks.deliverer import TIMEOUT_S, Deliverer

REQUEUE_PAUSE_S = 1.0
# What came over HTTP waits for its message about half as long.
PUBLISH_EVERY_S = 1.0

app = Celery("upkeep", set_as_current=False, amqp=DoorAMQP)


def _configuration() -> dict[str, Any]:
    chosen = settings()
    interval_s = chosen.reconcile_interval_s
    return configuration() | {
        "task_default_queue": UPKEEP_QUEUE,
        "task_routes": {
            task: {"queue": UPKEEP_QUEUE}
            for task in (
                RECONCILE,
                PUBLISH_DUE,
                START_RETAG,
                PUBLISH_RETAG,
                WATCH_DRIFT,
                TEND_EVENTS,
            )
        },
        "beat_schedule": {
            "reconcile": {
                "task": RECONCILE,
                "schedule": interval_s,
                # Ticks that nobody served are not made up for.
                "options": {"queue": UPKEEP_QUEUE, "expires": 2 * interval_s},
            },
            "publish-due": {
                "task": PUBLISH_DUE,
                "schedule": PUBLISH_EVERY_S,
                "options": {"queue": UPKEEP_QUEUE, "expires": PUBLISH_EVERY_S},
            },
            **retag_schedule.schedule(chosen),
            **drift_nightly.schedule(chosen),
            **event_schedule(chosen),
        },
    }


app.add_defaults(_configuration)
signals.after_setup_logger.connect(log_as_json)


class RefuseOldSchema(bootsteps.Step):  # type: ignore[misc]
    """Refuses to start on a database that is behind on migrations."""

    label = "Refuse an old schema"

    def __init__(self, parent: Any, **options: Any) -> None:
        engine = make_engine(settings().database)
        try:
            require_newest(engine)
        except (OperatorError, DBAPIError) as error:
            raise SystemExit(f"Refusing to start: {error}") from error
        finally:
            engine.dispose()
        super().__init__(parent, **options)


class DeliverWebhooks(bootsteps.StartStopStep):  # type: ignore[misc]
    """Posts events to webhooks, in threads beside the tasks: no task waits for a receiver."""

    label = "Deliver webhooks"
    requires = (RefuseOldSchema,)

    def start(self, parent: Any) -> None:
        chosen = settings()
        self._engine = make_engine(chosen.database)
        self._deliverer = Deliverer(self._engine, Poster(FetchLimits.of(chosen), TIMEOUT_S))
        self._deliverer.start()

    def stop(self, parent: Any) -> None:
        self._deliverer.stop()
        self._engine.dispose()


app.steps["worker"].add(RefuseOldSchema)
app.steps["worker"].add(DeliverWebhooks)


@app.task(name=RECONCILE, acks_late=False)  # type: ignore[untyped-decorator]
def reconcile() -> None:
    """Publish again what is due or lost; the next tick makes up for one that fails."""
    reconciler().run()


@app.task(name=PUBLISH_DUE, acks_late=False)  # type: ignore[untyped-decorator]
def publish_due() -> None:
    """Publish what is due; the next tick makes up for one that fails."""
    reconciler().publish_due()


@app.task(name=START_RETAG, acks_late=False)  # type: ignore[untyped-decorator]
def start_retag() -> None:
    """Start the nightly run, unless the last one is still open."""
    retag_schedule.start_nightly()


@app.task(name=PUBLISH_RETAG, acks_late=False)  # type: ignore[untyped-decorator]
def publish_retag() -> None:
    """Publish open runs for a while; the next tick makes up for one that fails."""
    retag_schedule.publish_open()


@app.task(name=WATCH_DRIFT, acks_late=False)  # type: ignore[untyped-decorator]
def watch_drift() -> None:
    """Begin to compare yesterday with the days before; the next night makes up for a failure."""
    drift_watch().start()


@app.task(name=TEND_EVENTS, acks_late=False)  # type: ignore[untyped-decorator]
def tend_events() -> None:
    """Number events, copy them to the stream, delete old ones; the next tick does the rest."""
    tender().run()


@app.task(name=RECORD_REFUSAL, acks_late=True)  # type: ignore[untyped-decorator]
def record_refusal(**payload: Any) -> None:
    """Keep a dead letter of a message in this queue that nobody could read."""
    refusal = Refusal.found_in(payload)
    if refusal is None:
        return  # someone called this task; nobody else sends to this queue, and nothing is owed
    try:
        with sessions(engine()).begin() as session:
            record_outcomes(session, [refusal.outcome()], datetime.now(UTC))
    except DBAPIError as error:
        time.sleep(REQUEUE_PAUSE_S)
        raise Reject(error, requeue=True) from error


@lru_cache(maxsize=1)
def engine() -> Engine:
    """This process's own."""
    return make_engine(settings().database)


@lru_cache(maxsize=1)
def drift_watch() -> drift_nightly.DriftWatch:
    """This process's own."""
    return drift_nightly.DriftWatch(engine())


@lru_cache(maxsize=1)
def reconciler() -> Reconciler:
    """This process's own."""
    chosen = settings()
    url = redis_url(chosen)
    client = EnqueueClient(engine(), broker_url=url)
    return Reconciler(engine(), client, connect(url), chosen)


@lru_cache(maxsize=1)
def tender() -> EventTender:
    """This process's own."""
    chosen = settings()
    return EventTender(engine(), connect(redis_url(chosen)), chosen)
