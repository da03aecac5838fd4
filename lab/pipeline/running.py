"""One run: a real broker, real workers as shipped, one database, and what it cost."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Engine

from catalog.jobs import Job
from catalog.queues import BULK_QUEUE, INGEST_QUEUE
from catalog.settings import Settings
from db import migrate
from db.engine import make_engine
from lab.pipeline.counters import Counters, read_counters
from lab.pipeline.processes import busy_s, children, cpu_s, memory_mb, own_cpu_s
from lab.pipeline.watching import Watcher, queued_at
from worker.client import EnqueueClient
from worker.local.embedded import EmbeddedBroker
from worker.local.stack import LocalStack, running
from worker.watch.metrics import directory

TIMEOUT_S = 300.0
QUEUES = {"chunks": BULK_QUEUE, "singles": INGEST_QUEUE}


class BenchmarkError(Exception):
    """A run that did not end as it should: its figures would mean nothing."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one run showed.

    latency_s: from a product's acceptance to its tagging being visible, by percentile. cpu_ms:
    milliseconds of CPU for each image, by process. stage_ms and stage_cpu_ms: of the child's
    threads, by stage, on the clock and on the CPU. memory_mb: proportional set size by process.
    batches: how many batches held at most so many items. strangers_cores: how much of the machine
    other programs used meanwhile; above a tenth or so the figures say little.
    """

    name: str
    images: int
    seconds: float
    images_per_second: float
    strangers_cores: float
    latency_s: Mapping[str, float]
    cpu_ms: Mapping[str, float]
    stage_ms: Mapping[str, float]
    stage_cpu_ms: Mapping[str, float]
    memory_mb: Mapping[str, float]
    batches: Mapping[str, float]


class Bench:
    """A running system and its handles."""

    def __init__(self, system: LocalStack, engine: Engine, started: float, server_pid: int | None):
        assert system.settings.redis_url is not None
        self.system, self.engine = system, engine
        self.client = EnqueueClient(engine, broker_url=system.settings.redis_url)
        self.started = started
        self._server_pid = server_pid

    def wait(self, watcher: Watcher, jobs: Sequence[Job]) -> None:
        """Wait until all are tagged; what is not is no figure but an error."""
        ids = [job.product_id for job in jobs]
        if not watcher.wait(ids, TIMEOUT_S):
            self.system.require_alive()
            left = len(set(ids) - watcher.seen_at.keys())
            raise BenchmarkError(f"{left} of {len(ids)} items were not tagged in {TIMEOUT_S:.0f} s")

    def first_item_s(self, job: Job) -> float:
        """Seconds from the start of the workers to this job's tagging."""
        with Watcher(self.engine, every_s=0.005, since_ever=True) as watcher:
            self.wait(watcher, [job])
        return watcher.seen_at[job.product_id] - self.started

    def run(self, name: str, mode: str, jobs: Sequence[Job], *, beside: Sequence[Job] = ()) -> Run:
        """Accept and publish all jobs as fast as the client can, and wait for the outcomes.

        beside: jobs that come evenly among the others, and are not waited for.
        """
        published = _interleaved(jobs, beside)
        before = self._counters(mode)
        cpu_before, busy_before = self._cpu_s(), busy_s()
        with Watcher(self.engine, every_s=0.05) as watcher:
            started = time.perf_counter()
            if mode == "chunks":
                self.client.enqueue_many(published)
            else:
                self.client.enqueue_singles(published)
            self.wait(watcher, jobs)
            seconds = time.perf_counter() - started
            cpu_after, busy_after = self._cpu_s(), busy_s()
        counted = self._counters(mode).since(before)
        per_image = 1000 / len(jobs)
        spent = sum(cpu_after.values()) - sum(cpu_before.values())
        return Run(
            name=name,
            images=len(jobs),
            seconds=seconds,
            images_per_second=len(jobs) / seconds,
            strangers_cores=max(0.0, busy_after - busy_before - spent) / seconds,
            latency_s=self._latency(jobs, watcher.seen_at),
            cpu_ms={part: per_image * (cpu_after[part] - cpu_before[part]) for part in cpu_after},
            stage_ms={stage: per_image * spent for stage, spent in counted.stage_s.items()},
            stage_cpu_ms={stage: per_image * spent for stage, spent in counted.stage_cpu_s.items()},
            memory_mb=self._memory_mb(),
            batches=counted.batches,
        )

    def paced(self, jobs: Sequence[Job], per_second: float) -> Mapping[str, float]:
        """Latencies by percentile when single jobs come in evenly, so many a second."""
        with Watcher(self.engine, every_s=0.01) as watcher:
            begun = time.perf_counter()
            for number, job in enumerate(jobs):
                time.sleep(max(0.0, begun + number / per_second - time.perf_counter()))
                self.client.enqueue(job)
            self.wait(watcher, jobs)
        return self._latency(jobs, watcher.seen_at)

    def idle(self, jobs: Sequence[Job]) -> Mapping[str, float]:
        """Latencies by percentile of single jobs that find the system with nothing to do."""
        with Watcher(self.engine, every_s=0.002) as watcher:
            for job in jobs:
                self.client.enqueue(job)
                self.wait(watcher, [job])
                time.sleep(0.02)
        return self._latency(jobs, watcher.seen_at)

    def _counters(self, mode: str) -> Counters:
        return read_counters(directory(self.system.settings), QUEUES[mode])

    def _latency(self, jobs: Sequence[Job], seen_at: Mapping[str, float]) -> dict[str, float]:
        ids = [job.product_id for job in jobs]
        accepted = queued_at(self.engine, ids)
        if set(ids) - seen_at.keys():
            raise BenchmarkError(f"{len(set(ids) - seen_at.keys())} of {len(ids)} were not tagged")
        spent = np.array([seen_at[each] - accepted[each] for each in ids])
        return {f"p{share}": float(np.percentile(spent, share)) for share in (50, 95, 99)}

    def _cpu_s(self) -> dict[str, float]:
        """CPU seconds so far, by part."""
        spent = {"client": time.process_time()}
        if self.system.broker is not None:
            spent["broker"] = cpu_s(self.system.broker.process.pid)
        others = 0.0
        for name, process in self.system.workers.items():
            whole = cpu_s(process.pid)
            if name in (INGEST_QUEUE, BULK_QUEUE):
                spent[f"{name} consumer"] = own_cpu_s(process.pid)
                spent[f"{name} children"] = whole - spent[f"{name} consumer"]
            else:
                others += whole
        spent["upkeep"] = others
        if self._server_pid is not None:
            spent["database server"] = cpu_s(self._server_pid)
        return spent

    def _memory_mb(self) -> dict[str, float]:
        found: dict[str, float] = {}
        if self.system.broker is not None:
            found["broker"] = memory_mb(self.system.broker.process.pid)
        for name, process in self.system.workers.items():
            found[name] = memory_mb(process.pid)
            if name in (INGEST_QUEUE, BULK_QUEUE):
                for number, child in enumerate(children(process.pid)):
                    found[f"{name} child {number}"] = memory_mb(child)
        return found


def _interleaved(jobs: Sequence[Job], beside: Sequence[Job]) -> list[Job]:
    places = [(number / len(jobs), job) for number, job in enumerate(jobs)]
    places += [((number + 0.5) / len(beside), job) for number, job in enumerate(beside)]
    return [job for _, job in sorted(places, key=lambda each: each[0])]


@contextmanager
def benched(
    chosen: Settings, first: Job | None = None, *, server_pid: int | None = None
) -> Iterator[Bench]:
    """Start a system in a home of its own; `first` is accepted before any worker starts."""
    chosen.home.mkdir(parents=True)
    broker = EmbeddedBroker(chosen.queue_folder)
    chosen = chosen.model_copy(update={"redis_url": broker.url})
    engine = make_engine(chosen.database)
    migrate.upgrade(engine)
    if first is not None:
        EnqueueClient(engine, broker_url=broker.url).enqueue(first)
    try:
        started = time.time()
        with running(chosen) as system:
            system.broker = broker
            yield Bench(system, engine, started, server_pid)
    finally:
        engine.dispose()
        broker.stop()
