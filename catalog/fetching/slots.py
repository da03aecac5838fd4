"""How many connections may be busy at once, to one host and in all: the one limit of a process."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from catalog.fetching.deadline import Deadline


class ConnectionSlots:
    """Counts busy connections; shared by all threads of a process.

    A slot is waited for where a thread is there to wait, and taken ahead, without waiting, where
    many pictures want few threads (worker/tagging/fetch_ahead.py). Both count in one place, so
    that a host never sees more connections than it may.
    """

    def __init__(self, *, per_host_max: int, total_max: int) -> None:
        self._per_host_max = per_host_max
        self.total_max = total_max
        self._busy: Counter[str] = Counter()
        self._changed = threading.Condition()

    def take(self, host: str) -> "Slot | None":
        """A slot to `host`, to be given back by `free`; None where all are taken."""
        with self._changed:
            return self._taken(host) if self._has_room(host) else None

    @contextmanager
    def hold(self, host: str, deadline: Deadline, ahead: "Slot | None" = None) -> Iterator[None]:
        """Have a slot to `host` while the block runs: the one taken ahead, or one waited for.

        A slot taken ahead for another host is given back first: whoever waits for a second slot
        while it keeps the first may wait for another that does the same.

        Raises:
            FetchFailure: fetch_timeout, where none became free in time.
        """
        if ahead is not None and ahead.host == host and not ahead.is_free:
            yield  # whoever took it frees it
            return
        if ahead is not None:
            ahead.free()
        with self._changed:
            while not self._has_room(host):
                self._changed.wait(deadline.remaining_s())
            slot = self._taken(host)
        try:
            yield
        finally:
            slot.free()

    def _taken(self, host: str) -> "Slot":
        self._busy[host] += 1
        return Slot(host, self)

    def _has_room(self, host: str) -> bool:
        # Counter.get, as a look-up of a missing key is what we just took care not to store.
        return self._busy.get(host, 0) < self._per_host_max and self._busy.total() < self.total_max

    def _free(self, slot: "Slot") -> None:
        with self._changed:
            if slot.is_free:
                return
            slot.is_free = True
            self._busy[slot.host] -= 1
            # Hosts come and go; a long-lived process must not remember them all.
            if not self._busy[slot.host]:
                del self._busy[slot.host]
            self._changed.notify_all()


class Slot:
    """One busy connection."""

    def __init__(self, host: str, slots: ConnectionSlots) -> None:
        self.host, self._slots = host, slots
        self.is_free = False

    def free(self) -> None:
        """Give it back; a second time changes nothing."""
        self._slots._free(self)
