"""What the upkeep process does for events: numbering, the Redis stream, deleting old ones."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import redis
from celery.utils.log import get_logger
from sqlalchemy import Engine

from catalog.queues import TEND_EVENTS, UPKEEP_QUEUE
from catalog.settings import Settings
from db.engine import sessions
from db.events import pruning
from db.events.numbering import PAGE_SIZE, number_new
from worker.events.stream import EventStream, StreamError

TICK_S = 5.0
STREAM_TICK_S = 1.0
# The upkeep process has other work too: a backlog is taken in bites.
NUMBER_PAGES_MAX = 20
PRUNE_EVERY_S = 600.0
PRUNE_S = 2.0

logger = get_logger(__name__)


def schedule(chosen: Settings) -> dict[str, Any]:
    """The part of Celery beat's schedule that is about events."""
    tick_s = STREAM_TICK_S if chosen.events_stream else TICK_S
    options = {"queue": UPKEEP_QUEUE, "expires": tick_s}
    return {"tend-events": {"task": TEND_EVENTS, "schedule": tick_s, "options": options}}


class EventTender:
    """One for each upkeep process; any number of them may run at once."""

    def __init__(self, engine: Engine, client: redis.Redis, chosen: Settings) -> None:
        self._sessions = sessions(engine)
        self._kept = timedelta(days=chosen.events_days)
        name = chosen.events_stream
        self._stream = EventStream(engine, client, name) if name else None
        self._prune_at = 0.0

    def run(self) -> None:
        """One tick."""
        for _ in range(NUMBER_PAGES_MAX):
            with self._sessions.begin() as session:
                if number_new(session) < PAGE_SIZE:
                    break
        if time.monotonic() >= self._prune_at:
            self._prune()
        if self._stream is not None:
            try:
                self._stream.feed()
            except (StreamError, redis.RedisError) as error:
                logger.error("Events were not copied to the stream: %s", error)

    def _prune(self) -> None:
        before = datetime.now(UTC) - self._kept
        ends = time.monotonic() + PRUNE_S
        while time.monotonic() < ends:
            with self._sessions.begin() as session:
                if pruning.delete_old(session, before) < pruning.PAGE_SIZE:
                    self._prune_at = time.monotonic() + PRUNE_EVERY_S
                    return
