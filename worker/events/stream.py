"""Events as a Redis stream, for systems that read those: each entry's id is its event's.

The stream itself says how far it is: an event is never added twice, and what Redis lost with a
crash is added again.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

import redis
from sqlalchemy import Engine

from catalog.errors import OperatorError
from db.engine import reading, sessions
from db.events import cursors
from db.events.fields import public
from db.events.reading import Event, last_number, read
from worker.events.readers import STREAM

LENGTH_MAX = 100_000  # about: Redis drops the oldest entries a page at a time
PAGE_SIZE = 500


class StreamError(OperatorError):
    """The stream cannot be gone on with."""


class EventStream:
    """Any number of processes may feed one stream at once: Redis refuses what is in it."""

    def __init__(self, engine: Engine, client: redis.Redis, name: str) -> None:
        self._sessions = sessions(engine)
        self._reading = reading(engine)
        self._client = client
        self._name = name

    def feed(self, pages_max: int = 20) -> int:
        """Add what is not in it, in order; how many events were looked at.

        Raises:
            StreamError: the stream holds events that this database does not know.
            redis.RedisError: Redis does not answer, or takes no more.
        """
        after, fed = self._last(), 0
        with self._reading() as session:
            newest = last_number(session)
        if after > newest:
            raise StreamError(
                f"Expected the stream {self._name} to end with event {newest} at most, found "
                f"{after}: it is another database's, or this one was restored from a backup. "
                "Delete the stream, or set TAGGER_EVENTS_STREAM to another name."
            )
        for _ in range(pages_max):
            with self._reading() as session:
                page = read(session, after, limit=PAGE_SIZE)
            self._add(page.events)
            after, fed = page.after, fed + len(page.events)
            with self._sessions.begin() as session:
                if cursors.place(session, STREAM) != after:
                    cursors.move(session, STREAM, after, datetime.now(UTC))
            if len(page.events) < PAGE_SIZE:
                break
        return fed

    def _last(self) -> int:
        """The event that was added last, whether it was dropped meanwhile or not."""
        if not self._client.exists(self._name):
            return 0
        found = self._client.xinfo_stream(self._name)["last-generated-id"]
        return int(found.decode().split("-")[0])

    def _add(self, events: Sequence[Event]) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for event in events:
            said = public(event)
            pipeline.xadd(
                self._name,
                {
                    "type": event.kind,
                    "product_id": event.product_id or "",
                    "data": json.dumps(said),
                },
                id=f"{event.number}-1",
                maxlen=LENGTH_MAX,
                approximate=True,
            )
        for answer in pipeline.execute(raise_on_error=False):
            # Another process has added it meanwhile.
            if isinstance(answer, Exception) and "equal or smaller" not in str(answer):
                raise answer
