"""How many connections may be busy at once, to one host and in all."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from catalog.fetching.deadline import Deadline


class ConnectionSlots:
    """Counts busy connections; shared by all threads of a process."""

    def __init__(self, *, per_host_max: int, total_max: int) -> None:
        self._per_host_max = per_host_max
        self._total_max = total_max
        self._busy: Counter[str] = Counter()
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, host: str, deadline: Deadline) -> Iterator[None]:
        """Wait for a slot to `host`, and keep it while the block runs.

        Raises:
            FetchFailure: fetch_timeout, where none became free in time.
        """
        with self._changed:
            while not self._free(host):
                self._changed.wait(deadline.remaining_s())
            self._busy[host] += 1
        try:
            yield
        finally:
            with self._changed:
                self._busy[host] -= 1
                # Hosts come and go; a long-lived process must not remember them all.
                if not self._busy[host]:
                    del self._busy[host]
                self._changed.notify_all()

    def _free(self, host: str) -> bool:
        # Counter.get, as a look-up of a missing key is what we just took care not to store.
        return self._busy.get(host, 0) < self._per_host_max and self._busy.total() < self._total_max
