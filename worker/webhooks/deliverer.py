"""Posting events to webhooks: from threads of the upkeep, none of which waits for another.

Tagging does not know of it: outcomes and their events are committed, then read from the outbox.
"""

import json
import logging
import os
import random
import socket
import threading
import uuid
from datetime import timedelta

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from catalog.fetching.posting import Answer, Poster
from catalog.webhooks import signed_headers
from db.engine import reading, sessions
from db.events.numbering import number_new
from db.ledger.heartbeats import clock
from db.webhooks import delivering
from db.webhooks.delivering import GONE, Batch

# An event is posted half of this after its commit, in the mean.
POLL_S = 0.25
IDLE_POLL_S = 2.0  # as long as there is no webhook
DATABASE_AWAY_S = 5.0
# Standard Webhooks recommends 15 to 30 s for a receiver to answer.
TIMEOUT_S = 15.0
LEASE = timedelta(seconds=2 * TIMEOUT_S)
BACKOFF_S, BACKOFF_MAX_S = 5.0, 3600.0
JOIN_S = TIMEOUT_S + 5.0

logger = logging.getLogger(__name__)


class Deliverer:
    """Any number of processes may have one."""

    def __init__(self, engine: Engine, poster: Poster, *, backoff_s: float = BACKOFF_S) -> None:
        self._engine = engine
        self._reading, self._sessions = reading(engine), sessions(engine)
        self._poster = poster
        self._backoff_s = backoff_s
        self._stopping = threading.Event()
        self._busy: dict[int, threading.Thread] = {}
        self._thread: threading.Thread | None = None
        self._owner = f"{socket.gethostname()[:20]}:{os.getpid()}"

    def start(self) -> None:
        """Watch the outbox in a thread."""
        self._thread = threading.Thread(target=self._watch, name="webhooks", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish what is being posted, and nothing else."""
        self._stopping.set()
        for thread in (self._thread, *self._busy.values()):
            if thread is not None:
                thread.join(JOIN_S)

    def _watch(self) -> None:
        while not self._stopping.is_set():
            self._stopping.wait(self._look())

    def _look(self) -> float:
        """Begin with every webhook that is due; return after how many seconds to look again."""
        try:
            with self._reading() as session:
                if not delivering.any_active(session):
                    return IDLE_POLL_S
            if self._engine.dialect.name == "postgresql":
                with self._sessions.begin() as session:
                    number_new(session)
            with self._reading() as session:
                found = delivering.due(session, clock(session))
        except SQLAlchemyError as error:
            logger.warning("The outbox cannot be read: %s", type(error).__name__)
            return DATABASE_AWAY_S
        self._busy = {each: thread for each, thread in self._busy.items() if thread.is_alive()}
        for webhook_id in found:
            if webhook_id not in self._busy:
                self._begin(webhook_id)
        return POLL_S

    def _begin(self, webhook_id: int) -> None:
        thread = threading.Thread(
            target=self._serve, args=(webhook_id,), name=f"webhook-{webhook_id}", daemon=True
        )
        self._busy[webhook_id] = thread
        thread.start()

    def _serve(self, webhook_id: int) -> None:
        """Post batch after batch, until there is none or one is not taken."""
        owner = f"{self._owner}:{uuid.uuid4().hex[:16]}"
        try:
            while not self._stopping.is_set() and self._deliver(webhook_id, owner):
                pass
        except SQLAlchemyError as error:
            # The batch may have been taken: it comes again, under the same id.
            logger.warning("Webhook %s: the database is away: %s", webhook_id, type(error).__name__)

    def _deliver(self, webhook_id: int, owner: str) -> bool:
        with self._sessions.begin() as session:
            now = clock(session)
            batch = delivering.take(session, webhook_id, owner, now, LEASE)
        if batch is None:
            return False
        body = json.dumps(batch.content, ensure_ascii=False, separators=(",", ":")).encode()
        headers = signed_headers(batch.message_id, now, body, batch.secrets)
        answer = self._poster.post(batch.url, headers, body)
        return self._record(batch, owner, answer)

    def _record(self, batch: Batch, owner: str, answer: Answer) -> bool:
        with self._sessions.begin() as session:
            now = clock(session)
            if answer.trouble is None:
                return delivering.taken(session, batch, owner, now)
            delivering.refused(
                session, batch, owner, now, why=answer.trouble, gone=answer.status == GONE,
                wait_s=self._wait_s(batch.attempt, answer.retry_after_s or 0.0),
            )  # fmt: skip
        logger.warning("Webhook %s: %s", batch.webhook_id, answer.trouble)
        return False

    def _wait_s(self, attempt: int, asked_s: float) -> float:
        """Doubling with jitter, and never sooner than the receiver asked for."""
        doubled = min(self._backoff_s * 2.0 ** min(attempt - 1, 30), BACKOFF_MAX_S)
        return max(doubled * random.uniform(0.5, 1.0), asked_s * random.uniform(1.0, 1.1))  # noqa: S311
