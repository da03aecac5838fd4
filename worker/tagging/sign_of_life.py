"""That a child lives: written into the ledger by a thread of its own, whatever its batch does."""

import os
import threading

from celery import current_app
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from catalog.settings import settings
from db.engine import make_engine, sessions
from db.ledger.heartbeats import beat_child, forget_child
from worker.tagging.identity import owner

# A few statements a minute; how many may be missed before a child counts as dead stands in
# db/ledger/heartbeats.py.
BEAT_S = 5.0
# After a beat that failed: a database that is back must hear of the living before anyone asks.
AGAIN_S = 1.0
# How long a beat may wait for the database; see db/ledger/heartbeats.py for what that is part of.
PATIENCE_S = 5.0


class SignOfLife:
    """Beats every BEAT_S, from the start of the child until its end.

    A batch may take a minute and a half, on a slow image host; the thread that works on it has no
    time to say so. A child whose worker is gone falls silent: nothing that it does is acknowledged
    any more, and what it holds is to be given to others.
    """

    def __init__(self, engine: Engine, queue: str, *, beat_s: float = BEAT_S) -> None:
        self._sessions = sessions(engine)
        self._owner, self._queue = owner(), queue
        self._worker_process = os.getppid()
        self._beat_s = beat_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name="sign of life", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """The child ends as it should, and holds nothing: nobody is to wonder where it is."""
        self._ended.set()
        self._thread.join(timeout=PATIENCE_S)
        try:
            with self._sessions.begin() as session:
                forget_child(session, self._owner)
        except SQLAlchemyError:
            pass  # then it is found silent, and to hold nothing

    def _beat_on(self) -> None:
        wait_s = 0.0
        while not self._ended.wait(wait_s) and os.getppid() == self._worker_process:
            wait_s = self._beat_s if self._beat() else AGAIN_S

    def _beat(self) -> bool:
        try:
            with self._sessions.begin() as session:
                beat_child(session, self._owner, self._queue)
        except SQLAlchemyError:
            return False  # the batch at work meets the same database, and says so
        return True


def begin_to_beat(**signal: object) -> None:
    """A child of a worker has started; nothing connects before its thread does."""
    queue = min(current_app.amqp.queues.consume_from)
    _signs.append(SignOfLife(make_engine(settings().database, patience_s=PATIENCE_S), queue))
    _signs[-1].start()


def cease_to_beat(**signal: object) -> None:
    """A child of a worker ends as it should."""
    while _signs:
        _signs.pop().stop()


_signs: list[SignOfLife] = []  # of this process: one, once it is a child
