"""`tagger bench pipeline`: floor, tutorial and the real system, in one run."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from catalog.jobs import Job
from catalog.settings import Settings, read_settings
from lab.pipeline.figures import REMOTE_RUNS, Figures
from lab.pipeline.floor import Floor, measure_floor
from lab.pipeline.image_host import image_host
from lab.pipeline.photos import jobs_of, photo_files
from lab.pipeline.processes import cpu_s
from lab.pipeline.running import Bench, Run, benched
from lab.pipeline.turns import STRANGERS_CORES_MAX, Turn
from lab.pipeline.tutorial_run import measure_tutorial, tensorflow_is_installed

REMOTE_DELAY_S = 0.05
IDLE_JOBS = 40
LOW_FLUSH_INTERVAL_S = 0.01
TUTORIAL_IMAGES = 150
PACED_LOAD = 0.5
PACED_S = 5.0
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured: databases, modes and the extras, each on `images` photos.

    distinct_photos: enough that no cache holds what was decoded; the runs go round them. turns: of
    each mode beside the bare loop, and of HTTP beside files. attempts: any other run that other
    programs disturbed is repeated, so many times in all.
    """

    images: int = 1500
    distinct_photos: int = 256
    photos: Path | None = None
    databases: tuple[str, ...] = ("sqlite", "postgresql")
    modes: tuple[str, ...] = ("chunks", "singles")
    tutorial: bool = True
    latency: bool = True
    scaling: bool = True
    remote: bool = True
    warm_up: int = 256
    turns: int = 5
    attempts: int = 3


class _Suite:
    def __init__(self, plan: Plan, home: Path, postgres: "Postgres", say: Say) -> None:
        self.plan, self.home, self.postgres, self.say = plan, home, postgres, say
        self.files = photo_files(home, plan.photos, plan.distinct_photos)
        self.runs: dict[str, Run] = {}
        self.floors: list[Floor] = []
        self.turns: dict[str, list[Turn]] = {}
        self.remote_turns: list[Turn] = []
        self.first_item_s: dict[str, float] = {}
        self.idle_s: dict[str, Mapping[str, float]] = {}
        self.paced_s: Mapping[str, float] = {}
        self.paced_per_second: float | None = None

    def settings(self, name: str, database: str, **overrides: Any) -> Settings:
        url = self.postgres.database(name) if database == "postgresql" else None
        return read_settings(
            home=self.home / name,
            database_url=url,
            redis_url=None,
            allowed_roots=(self.home, *{file.parent for file in self.files}),
            **overrides,
        )

    def jobs(self, name: str, count: int | None = None) -> list[Job]:
        return jobs_of(self.files, name, count or self.plan.images)

    def floor(self) -> Floor:
        chosen = read_settings(home=self.home, database_url=None, redis_url=None)
        found = measure_floor(self.files, self.plan.images, chosen, cores())
        self.floors.append(found)
        self.say(
            f"bare loop: {_line(found.images_per_second, found.cpu_ms, found.strangers_cores)}"
        )
        return found

    def database(self, database: str) -> None:
        """Chunks and singles, and what an idle system takes."""
        chosen = self.settings(database, database)
        first = self.jobs(f"{database}-first", 1)[0]
        with self.bench(chosen, database, first=first) as bench:
            for mode in self.plan.modes:
                self.alternate(bench, f"{mode}_{database}", mode)
            if self.plan.latency:
                idle = bench.idle(self.jobs(f"{database}-idle", IDLE_JOBS))
                self.idle_s[f"{database}, default"] = idle
                self.say(f"{database}, idle, one job: p95 {idle['p95']:.3f} s")
            if self.plan.latency and database == "postgresql" and "singles" in self.plan.modes:
                self.paced(bench)

    def alternate(self, bench: Bench, name: str, mode: str) -> None:
        """Turns of the bare loop and this mode, each first in every second one."""
        runs: list[Run] = []
        self.turns[name] = []
        for number in range(self.plan.turns):
            jobs = self.jobs(f"{name}-{number}".replace("_", "-"))
            if number % 2:
                runs.append(self.run(bench, name, mode, jobs))
                floor = self.floor()
            else:
                floor = self.floor()
                runs.append(self.run(bench, name, mode, jobs))
            self.turns[name].append(Turn.of(floor, runs[-1]))
        # With all that is told of one run: that of the median speed.
        self.runs[name] = _median_run(runs)

    def paced(self, bench: Bench) -> None:
        rate = PACED_LOAD * self.runs["singles_postgresql"].images_per_second
        self.paced_per_second = rate
        self.paced_s = bench.paced(self.jobs("paced", int(rate * PACED_S)), rate)

    def low_interval(self, database: str) -> None:
        name = f"{database}-low"
        chosen = self.settings(name, database, flush_interval_s=LOW_FLUSH_INTERVAL_S)
        with self.bench(chosen, database) as bench:
            found = bench.idle(self.jobs(name, IDLE_JOBS))
        self.idle_s[f"{database}, flush interval {LOW_FLUSH_INTERVAL_S:g} s"] = found
        self.say(f"{name}, idle, one job: p95 {found['p95']:.3f} s")

    def workers(self, name: str, processes: int) -> None:
        chosen = self.settings(name.replace("_", "-"), "postgresql", bulk_processes=processes)
        with self.bench(chosen, "postgresql") as bench:
            self.measure(bench, name, "chunks", self.jobs(name))

    def remote(self) -> None:
        """Turns of photos over HTTP, from a host that takes its time, and the same from files."""
        networks = ("127.0.0.0/8",)
        chosen = self.settings(
            "remote", "postgresql", allowed_networks=networks, allowed_ports=("1-65535",)
        )
        runs: dict[str, list[Run]] = {name: [] for name in REMOTE_RUNS}
        with (
            image_host(self.files[0].parent, REMOTE_DELAY_S) as (url, host_pid),
            self.bench(chosen, "postgresql") as bench,
        ):
            jobs = [_from_host(job, url) for job in self.jobs("remote-warm", self.plan.warm_up)]
            bench.run("warm", "chunks", jobs)
            for number in range(self.plan.turns):
                for name in REMOTE_RUNS if number % 2 else reversed(REMOTE_RUNS):
                    jobs = self.jobs(f"{name}-{number}".replace("_", "-"))
                    if name == "chunks_remote":
                        jobs = [_from_host(job, url) for job in jobs]
                    runs[name].append(self.run(bench, name, "chunks", jobs, host_pid))
                local, remote = (runs[name][-1] for name in REMOTE_RUNS)
                self.remote_turns.append(Turn.of(_as_floor(local), remote))
        self.runs |= {name: _median_run(found) for name, found in runs.items()}

    @contextmanager
    def bench(
        self, chosen: Settings, database: str, *, first: Job | None = None
    ) -> Iterator[Bench]:
        server = self.postgres.process_id if database == "postgresql" else None
        with benched(chosen, first, server_pid=server) as bench:
            if first is not None:
                self.first_item_s[database] = bench.first_item_s(first)
                self.say(f"{database}: first item after {self.first_item_s[database]:.2f} s")
            name = f"warm-{time.monotonic_ns()}"
            bench.run("warm", "chunks", self.jobs(f"{name}-chunks", self.plan.warm_up))
            bench.run("warm", "singles", self.jobs(f"{name}-singles", self.plan.warm_up))
            yield bench

    def measure(self, bench: Bench, name: str, mode: str, jobs: list[Job]) -> None:
        """The best of some runs; one that had the machine for itself is the last."""
        found: list[Run] = []
        for attempt in range(self.plan.attempts):
            again = [_renamed(job, f"{job.product_id}-{attempt}") for job in jobs]
            found.append(self.run(bench, name, mode, again))
            if found[-1].strangers_cores < STRANGERS_CORES_MAX:
                break
        self.runs[name] = max(found, key=lambda run: run.images_per_second)

    def run(
        self, bench: Bench, name: str, mode: str, jobs: list[Job], host_pid: int | None = None
    ) -> Run:
        """One run; what the process `host_pid` used, that serves its photos, is no stranger's."""
        before = cpu_s(host_pid) if host_pid else 0.0
        run = bench.run(name, mode, jobs)
        host_cores = (cpu_s(host_pid) - before if host_pid else 0.0) / run.seconds
        run = replace(run, strangers_cores=max(0.0, run.strangers_cores - host_cores))
        speed = _line(run.images_per_second, sum(run.cpu_ms.values()), run.strangers_cores)
        self.say(f"{name}: {speed}")
        return run


class Postgres:
    """A server from a wheel, started at the first use."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._server: Any = None

    @property
    def process_id(self) -> int:
        return int(self._server.process_id)

    def database(self, name: str) -> str:
        """The URL of a new, empty database."""
        if self._server is None:
            from lab.faults.databases import PostgresServer  # the test extra

            self._server = PostgresServer()
            self._stack.callback(self._server.close)
        return str(self._server.database(name).url)


def measure(plan: Plan, say: Say) -> Figures:
    """Run everything; `say` gets a line for every figure as it is found."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tagger-bench-")))
        suite = _Suite(plan, home, Postgres(stack), say)
        suite.floor()
        tutorial = _tutorial(suite)
        for database in plan.databases:
            suite.database(database)
            if plan.latency:
                suite.low_interval(database)
        if plan.scaling:
            for processes, name in ((1, "chunks_one"), (2, "chunks_two")):
                suite.workers(name, processes)
        if plan.remote:
            suite.remote()
        suite.floor()
        best = max(suite.floors, key=lambda each: each.images_per_second)
        return Figures(
            cores=cores(),
            images=plan.images,
            floor=best.images_per_second,
            floor_strangers_cores=best.strangers_cores,
            floor_cpu_ms=min(each.cpu_ms for each in suite.floors),
            tutorial=tutorial,
            runs=suite.runs,
            turns=suite.turns,
            remote_turns=suite.remote_turns,
            idle_s=suite.idle_s,
            paced_s=suite.paced_s,
            paced_per_second=suite.paced_per_second,
            first_item_s=suite.first_item_s,
        )


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def _tutorial(suite: _Suite) -> float | None:
    if not suite.plan.tutorial:
        return None
    if not tensorflow_is_installed():
        suite.say("tutorial-style task: left out, as the training extra is not installed")
        return None
    chosen = suite.settings("tutorial", "sqlite")
    found = measure_tutorial(suite.files, TUTORIAL_IMAGES, chosen)
    suite.say(f"tutorial-style task: {found:.1f} images per second")
    return found


def _median_run(runs: Sequence[Run]) -> Run:
    return sorted(runs, key=lambda run: run.images_per_second)[len(runs) // 2]


def _as_floor(run: Run) -> Floor:
    """What another run is compared with."""
    return Floor(
        images_per_second=run.images_per_second,
        cpu_ms=sum(run.cpu_ms.values()),
        strangers_cores=run.strangers_cores,
    )


def _from_host(job: Job, url: str) -> Job:
    return job.model_copy(update={"image_uri": f"{url}/{Path(job.image_uri).name}"})


def _renamed(job: Job, product_id: str) -> Job:
    return job.model_copy(update={"product_id": product_id})


def _line(per_second: float, cpu_ms: float, strangers_cores: float) -> str:
    return (
        f"{per_second:.0f} images per second, {cpu_ms:.2f} ms of CPU an image "
        f"(other programs: {strangers_cores:.2f} cores)"
    )
