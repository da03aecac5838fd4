"""How many connections may be busy at once, to one host and in all: the one limit of a process."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from catalog.fetching.deadline import Deadline
from catalog.fetching.pace import HostPace

# What is known of so many hosts is kept; one that comes back after more begins anew.
HOSTS_KEPT = 1_000
# A host that was refused a slot counts as waiting for this long, if it does not ask again.
ASKED_S = 1.0
# Of so many last answers of a host the quickest tells how long it takes: one may be held up here.
ANSWERS_KEPT = 4


class ConnectionSlots:
    """Counts busy connections; shared by all threads of a process.

    A slot is waited for where a thread is there to wait, and taken ahead, without waiting, where
    many pictures want few threads (worker/tagging/fetch_ahead.py). Both count in one place, so
    that a host never sees more connections than it may: as many as it bears (see HostPace), and no
    more than its share while another host waits for a slot.
    """

    def __init__(
        self, *, per_host_max: int, total_max: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_host_max = per_host_max
        self.total_max = total_max
        self._clock = clock
        self._busy: Counter[str] = Counter()
        self._paces: dict[str, HostPace] = {}  # the one used last comes last
        self._asked: dict[str, float] = {}
        self._owes_since: dict[str, float] = {}
        self._took_s: dict[str, deque[float]] = {}
        self._changed = threading.Condition()

    def take(self, host: str) -> "Slot | None":
        """A slot to `host`, to be given back by `free`; None where all are taken."""
        with self._changed:
            if self._has_room(host):
                return self._taken(host)
            self._asked[host] = self._clock()
            return None

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
                self._asked[host] = self._clock()
                self._changed.wait(min(deadline.remaining_s(), ASKED_S))
            slot = self._taken(host)
        try:
            yield
        finally:
            slot.free()

    def answered(self, host: str, began: float) -> None:
        """The host answered a request that began then, by this object's clock."""
        with self._changed:
            busy = self._busy.get(host, 0)
            self._pace(host).answered(began=began, now=self._clock(), busy=busy)
            self._heard(host)
            took_s = self._took_s.setdefault(host, deque(maxlen=ANSWERS_KEPT))
            took_s.append(self._clock() - began)
            self._changed.notify_all()

    def refused(self, host: str, began: float, *, silently: bool = False) -> None:
        """The host said that it was too much; silently: it did not answer in time."""
        with self._changed:
            self._pace(host).refused(began=began, now=self._clock())
            if not silently:
                self._heard(host)

    def silent_s(self, host: str) -> float:
        """For how many seconds the host has owed answers and given none; 0 if it owes none.

        A host that let its last requests time out goes on being silent until it answers one.
        """
        with self._changed:
            now = self._clock()
            return now - self._owes_since.get(host, now)

    def now(self) -> float:
        """The time to say when a request began."""
        return self._clock()

    def limit(self, host: str) -> int:
        """How many connections the host bears, as far as is known."""
        with self._changed:
            return self._pace(host).limit

    def takes_s(self, host: str) -> float:
        """How many seconds the host takes to answer: the quickest of its last; 0 if unknown."""
        with self._changed:
            return min(self._took_s.get(host, ()), default=0.0)

    def _pace(self, host: str) -> HostPace:
        pace = self._paces.pop(host, None) or HostPace(self._per_host_max)
        self._paces[host] = pace
        if len(self._paces) > HOSTS_KEPT:
            oldest = next(iter(self._paces))
            del self._paces[oldest]
            self._owes_since.pop(oldest, None)
            self._took_s.pop(oldest, None)
        return pace

    def _heard(self, host: str) -> None:
        # The one that was answered still has its slot.
        if self._busy.get(host, 0) > 1:
            self._owes_since[host] = self._clock()
        else:
            self._owes_since.pop(host, None)

    def _taken(self, host: str) -> "Slot":
        self._busy[host] += 1
        self._asked.pop(host, None)
        self._owes_since.setdefault(host, self._clock())
        return Slot(host, self)

    def _has_room(self, host: str) -> bool:
        # Counter.get, as a look-up of a missing key is what we just took care not to store.
        busy = self._busy.get(host, 0)
        if busy >= self._pace(host).limit or self._busy.total() >= self.total_max:
            return False
        waiting = self._waiting_beside(host)
        share, rest = divmod(self.total_max, len(self._busy.keys() | self._asked.keys() | {host}))
        if not waiting or busy < share:
            return True
        # What does not divide goes to some of them, once all have their share.
        return busy == share and rest > 0 and min(waiting) >= share

    def _waiting_beside(self, host: str) -> list[int]:
        """How many slots the other hosts have that want another, and would bear it."""
        since = self._clock() - ASKED_S
        self._asked = {each: at for each, at in self._asked.items() if at >= since}
        return [
            self._busy.get(each, 0)
            for each in self._asked
            if each != host and self._busy.get(each, 0) < self._pace(each).limit
        ]

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
    """One busy connection.

    expect: told how many bytes will come over it at most, before they do; may make it wait.
    """

    def __init__(self, host: str, slots: ConnectionSlots) -> None:
        self.host, self._slots = host, slots
        self.is_free = False
        self.expect: Callable[[int, Deadline], None] = lambda size, deadline: None

    def free(self) -> None:
        """Give it back; a second time changes nothing."""
        self._slots._free(self)
