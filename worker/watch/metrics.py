"""Prometheus metrics of the workers: each child counts in a file of its own.

prometheus_client reads where to count from the environment when it is first imported, which is
why only this module imports it, and why this module is imported in a child, after the fork.
"""

import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from catalog.outcomes import Failure, Outcome
from catalog.private import private_folder
from catalog.settings import Settings

DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
STAGE_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)


def directory(chosen: Settings) -> Path:
    """Where the children of all workers that share the home folder count."""
    return chosen.home.absolute() / "metrics"


def clear(chosen: Settings, queue: str) -> None:
    """Forget what dead children of this host and queue counted; Prometheus sees a restart."""
    for path in directory(chosen).glob(f"*_{_identity(queue, '*')}.db"):
        process_id = path.stem.rsplit("-", 1)[1]
        if not process_id.isdigit() or not _alive(int(process_id)):
            path.unlink(missing_ok=True)


def _alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody else's
    return True


class WorkerMetrics:
    """The counters of one child."""

    def __init__(self, chosen: Settings, queue: str) -> None:
        folder = directory(chosen)
        private_folder(folder)
        os.environ[DIRECTORY_VARIABLE] = str(folder)
        import prometheus_client as prometheus  # see the module's docstring
        from prometheus_client import values

        # The library names files by process id, and two containers have the same ones.
        made = values.MultiProcessValue(  # type: ignore[no-untyped-call]
            lambda: _identity(queue, str(os.getpid()))
        )
        values.ValueClass = made
        registry = prometheus.CollectorRegistry()
        self._queue = queue
        self._items = prometheus.Counter(
            "tagger_items", "Items by outcome.", ["queue", "outcome"], registry=registry
        )
        self._failures = prometheus.Counter(
            "tagger_failures", "Failed attempts by reason.", ["queue", "reason"], registry=registry
        )
        self._flags = prometheus.Counter(
            "tagger_flags", "Flag reasons of taggings.", ["queue", "reason"], registry=registry
        )
        self._batches = prometheus.Histogram(
            "tagger_batch_size", "Items of a batch.", ["queue"],
            buckets=BATCH_SIZES, registry=registry,
        )  # fmt: skip
        self._stages = prometheus.Histogram(
            "tagger_stage_seconds", "Seconds of a stage, over all threads, in one batch.",
            ["queue", "stage"], buckets=STAGE_SECONDS, registry=registry,
        )  # fmt: skip
        self._cpu = prometheus.Counter(
            "tagger_stage_cpu_seconds", "Seconds of CPU of a stage, over all threads.",
            ["queue", "stage"], registry=registry,
        )  # fmt: skip
        self._crashes = prometheus.Counter(
            "tagger_crashes", "Processes that died at work.", ["queue", "reason"], registry=registry
        )

    def batch(
        self,
        outcomes: Sequence[Outcome],
        retried: Sequence[str],
        stages: Mapping[str, float],
        stages_cpu: Mapping[str, float],
    ) -> None:
        """Count one batch; stages, stages_cpu: its seconds by stage, on the clock and of CPU."""
        self._batches.labels(self._queue).observe(len(outcomes))
        for outcome in outcomes:
            result = outcome.result
            if isinstance(result, Failure):
                kind = "retry_planned" if outcome.subject in retried else "failed"
                self._failures.labels(self._queue, result.code.value).inc()
            else:
                kind = "needs_review" if result.flagged else "tagged"
                for reason in result.reasons:
                    self._flags.labels(self._queue, reason.value).inc()
            self._items.labels(self._queue, kind).inc()
        for stage, seconds in stages.items():
            self._stages.labels(self._queue, stage.replace(" ", "_")).observe(seconds)
        for stage, seconds in stages_cpu.items():
            self._cpu.labels(self._queue, stage.replace(" ", "_")).inc(seconds)

    def crash(self, reason: str) -> None:
        """Count a child that died or hung."""
        self._crashes.labels(self._queue, reason).inc()


def _identity(queue: str, process_id: str) -> str:
    return f"{queue}-{socket.gethostname()}-{process_id}"
