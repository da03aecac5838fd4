"""Waiting for events: how many may, and one look at the database for all who do."""

import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from db.events.numbering import number_new
from db.events.reading import Page, last_number, read, require_kept
from review.desk import Desk
from review.problems import ProblemError

LOOK_S = 0.25
WAITING_MAX = 64
WAITING_MAX_EACH = 8  # of one service
PAUSE_S = 5


class EventWatch:
    """One for each process; its methods may be called from any thread."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._lock = threading.Lock()
        self._looked_at = -LOOK_S
        self._newest = 0
        self._waiting: Counter[str] = Counter()

    def page(self, after: int, kinds: Collection[str], limit: int) -> Page:
        """The next events, or none, at once."""
        self._number()
        with self._desk.read() as session:
            return read(session, after, kinds=kinds, limit=limit)

    def start(self, after: int) -> None:
        """Make sure that a reader can go on from this number.

        Raises:
            CursorError: it cannot; the message says why.
        """
        self._number()
        with self._desk.read() as session:
            require_kept(session, after)

    def newest(self) -> int:
        """The number of the newest event, as of a moment ago: those who wait ask together."""
        with self._lock:
            if time.monotonic() - self._looked_at >= LOOK_S:
                self._number()
                with self._desk.read() as session:
                    self._newest = last_number(session)
                self._looked_at = time.monotonic()
            return self._newest

    @contextmanager
    def seat(self, service: str) -> Iterator[None]:
        """Room for one who waits.

        Raises:
            ProblemError: 429: too many wait already.
        """
        with self._lock:
            mine, all_ = self._waiting[service], self._waiting.total()
            if mine >= WAITING_MAX_EACH or all_ >= WAITING_MAX:
                raise ProblemError(
                    429,
                    f"Expected at most {WAITING_MAX_EACH} requests of a service that wait for "
                    f"events ({WAITING_MAX} of all), found {mine} ({all_}). Ask without `wait`.",
                    {"Retry-After": str(PAUSE_S)},
                )
            self._waiting[service] += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting[service] -= 1

    def _number(self) -> None:
        # On SQLite there is nothing to do, and a transaction that writes would wait for its turn.
        if self._desk.engine.dialect.name == "postgresql":
            with self._desk.write() as session:
                number_new(session)
