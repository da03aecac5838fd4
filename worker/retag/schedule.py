"""What the upkeep process does for runs: starting the nightly one, publishing all that are open."""

from functools import lru_cache
from typing import Any

from celery.schedules import crontab
from celery.utils.log import get_logger

from catalog.queues import PUBLISH_RETAG, START_RETAG, UPKEEP_QUEUE
from catalog.settings import Settings, settings
from db.engine import make_engine, reading
from db.retag import runs as retag_runs
from db.retag.models import RunState
from db.retag.runs import RunError
from db.retag.selection import parse_selection
from worker.broker import connect, redis_url
from worker.client import EnqueueClient
from worker.retag.publisher import Publisher
from worker.retag.starting import start_run

# The upkeep process also reconciles: publishing leaves it room in every interval.
TICK_S = 5.0
PUBLISH_S = 4.0
SCHEDULED_BY = "schedule"

logger = get_logger(__name__)


def schedule(chosen: Settings) -> dict[str, Any]:
    """The part of Celery beat's schedule that is about runs."""
    tick = {"queue": UPKEEP_QUEUE, "expires": TICK_S}
    ticks = {"publish-retag": {"task": PUBLISH_RETAG, "schedule": TICK_S, "options": tick}}
    if chosen.retag_at is None:
        return ticks
    parse_selection(chosen.retag_selection)  # a mistake is to be said now, not at night
    hour, minute = chosen.retag_at.split(":")
    nightly = {
        "task": START_RETAG,
        "schedule": crontab(hour=int(hour), minute=int(minute)),
        # After an hour it is another night's business.
        "options": {"queue": UPKEEP_QUEUE, "expires": 3600},
    }
    return ticks | {"start-retag": nightly}


def start_nightly() -> int | None:
    """Start the run of the settings; None where the last one is still open."""
    chosen = settings()
    engine = make_engine(chosen.database)
    try:
        selection = parse_selection(chosen.retag_selection)
        return start_run(engine, chosen, selection, SCHEDULED_BY)
    except RunError as error:
        logger.warning("The nightly run was not started: %s", error)
        return None
    finally:
        engine.dispose()


def publish_open() -> None:
    """Publish every open run that nobody else is publishing, for PUBLISH_S together."""
    found = _open_ids()
    for run_id in found:
        _publisher().drive(run_id, seconds=PUBLISH_S / len(found))


def _open_ids() -> list[int]:
    with reading(_engine())() as session:
        live = (RunState.PLANNED, RunState.RUNNING)
        return [run.id for run in retag_runs.open_runs(session) if run.state in live]


@lru_cache(maxsize=1)
def _engine() -> Any:
    return make_engine(settings().database)


@lru_cache(maxsize=1)
def _publisher() -> Publisher:
    """This process's own."""
    chosen = settings()
    url = redis_url(chosen)
    client = EnqueueClient(_engine(), broker_url=url)
    return Publisher(_engine(), client, connect(url), chosen)
