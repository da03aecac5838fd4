"""Where the time of a batch goes."""

import threading
import time
from collections import defaultdict


class StageClock:
    """Adds up each stage over all threads: seconds on the clock, and of CPU in that thread."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.cpu_seconds: dict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    def time(self, stage: str) -> "_Timed":
        """Count what happens inside the `with` block towards `stage`, failed or not."""
        return _Timed(self, stage)

    def add(self, stage: str, seconds: float, cpu_seconds: float) -> None:
        """Count so much towards `stage`."""
        with self._lock:
            self.seconds[stage] += seconds
            self.cpu_seconds[stage] += cpu_seconds


class _Timed:
    """A class and no generator: entered five times for every picture."""

    __slots__ = ("_clock", "_stage", "_started", "_started_cpu")

    def __init__(self, clock: StageClock, stage: str) -> None:
        self._clock, self._stage = clock, stage

    def __enter__(self) -> None:
        self._started, self._started_cpu = time.perf_counter(), time.thread_time()

    def __exit__(self, *error: object) -> None:
        self._clock.add(
            self._stage,
            time.perf_counter() - self._started,
            time.thread_time() - self._started_cpu,
        )
