"""Where the time of a batch goes."""

import threading
import time
from collections import defaultdict
from collections.abc import Mapping


class StageClock:
    """Adds up each stage over all threads: seconds on the clock, and of CPU in that thread."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.cpu_seconds: dict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    def time(self, stage: str) -> "_Timed":
        """Count what happens inside the `with` block towards `stage`, failed or not."""
        return _Timed(self, stage)

    def reading(self) -> tuple[Mapping[str, float], Mapping[str, float]]:
        """What it shows now: seconds by stage, on the clock and of CPU.

        A thread that an earlier batch left behind may be adding to it: its time is counted with
        the batch in which it ends.
        """
        with self._lock:
            return dict(self.seconds), dict(self.cpu_seconds)

    def since(
        self, before: tuple[Mapping[str, float], Mapping[str, float]]
    ) -> tuple[Mapping[str, float], Mapping[str, float]]:
        """What was added since an earlier reading."""
        seconds, cpu_seconds = (
            {stage: value - earlier.get(stage, 0.0) for stage, value in now.items()}
            for now, earlier in zip(self.reading(), before, strict=True)
        )
        return seconds, cpu_seconds

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
