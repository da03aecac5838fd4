"""The nightly look at what came: counts the days that are not counted yet, compares the last."""

import threading
from datetime import UTC, date, datetime, timedelta
from typing import Any

from celery.schedules import crontab
from celery.utils.log import get_logger
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from catalog.queues import UPKEEP_QUEUE, WATCH_DRIFT
from catalog.settings import NEVER, Settings
from db.drift.comparing import DAYS_BEFORE, compare_night
from db.drift.counting import count_day, counted_days
from db.drift.nights import Night
from db.engine import reading, sessions

logger = get_logger(__name__)


def schedule(chosen: Settings) -> dict[str, Any]:
    """The part of Celery beat's schedule that is about drift."""
    if chosen.drift_at == NEVER:
        return {}
    hour, minute = chosen.drift_at.split(":")
    return {
        "watch-drift": {
            "task": WATCH_DRIFT,
            "schedule": crontab(hour=int(hour), minute=int(minute)),
            # After an hour it is another night's business, which makes up for it.
            "options": {"queue": UPKEEP_QUEUE, "expires": 3600},
        }
    }


def watch(engine: Engine, now: datetime) -> Night | None:
    """Count every whole day (UTC) of the last 29, and compare yesterday; None if it was before.

    Days that no night has counted are made up for, on the first night all of them.
    """
    yesterday = now.astimezone(UTC).date() - timedelta(days=1)
    first = yesterday - timedelta(days=DAYS_BEFORE)
    with reading(engine)() as session:
        known = counted_days(session, first)
    for day in _days(first, yesterday):
        if day not in known:
            count_day(reading(engine), sessions(engine), day, now)
    with sessions(engine).begin() as session:
        return compare_night(session, yesterday, now)


class DriftWatch:
    """Watches in a thread: a large day takes minutes, and the reconciler must not wait for it.

    When the process ends, the night's work ends with it: what was not stored, the next night does.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, unless the last one is still at it."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._watch, name="drift", daemon=True)
            self._thread.start()

    def _watch(self) -> None:
        try:
            night = watch(self._engine, datetime.now(UTC))
        except SQLAlchemyError:
            # The database is away: the next night makes up for this one, and health says it.
            logger.exception("What came was not compared tonight")
            return
        for finding in night.findings if night else ():
            logger.warning("Drift: %s", finding.sentence)


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=each) for each in range((last - first).days + 1)]
