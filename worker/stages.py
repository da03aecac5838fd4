"""Where the time of a batch goes."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class StageClock:
    """Adds up each stage over all threads: seconds on the clock, and of CPU in that thread."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.cpu_seconds: dict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Count what happens inside towards `stage`, failed or not."""
        started, started_cpu = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            spent, spent_cpu = time.perf_counter() - started, time.thread_time() - started_cpu
            with self._lock:
                self.seconds[stage] += spent
                self.cpu_seconds[stage] += spent_cpu
