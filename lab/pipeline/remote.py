"""Photos from elsewhere beside the same photos from files, in turns: `tagger bench remote`.

The machine's own speed, and whoever else uses it, cancel out of the ratios: each turn runs every
source, and is compared within itself. The image hosts run on this machine, too: what they cost is
told, as a real host's costs are its own.
"""

import json
import os
import socket
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from catalog.jobs import Job
from catalog.settings import read_settings
from lab.pipeline.image_host import image_host
from lab.pipeline.object_store import object_store
from lab.pipeline.photos import jobs_of, photo_files
from lab.pipeline.processes import cpu_s
from lab.pipeline.running import Bench, benched
from lab.pipeline.suite import Postgres

DELAYS_MS = (50, 200)
HOSTS = 20
# Above this, what other programs use makes one turn say little; the median of several says more.
STRANGERS_CORES_MAX = 0.1
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured: `images` photos a run, every source in each of `turns`."""

    images: int = 1500
    distinct_photos: int = 256
    photos: Path | None = None
    database: str = "postgresql"
    modes: tuple[str, ...] = ("chunks", "singles")
    sources: tuple[str, ...] = ()
    turns: int = 5
    warm_up: int = 512


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where photos come from, and which source its speed is compared with.

    beside: addresses of so many more photos that never come. host_pid: the process that serves
    them on this machine.
    """

    name: str
    against: str
    uri: Callable[[Path, int], str]
    dead: Callable[[int], str] | None = None
    host_pid: int | None = None


@dataclass(kw_only=True)
class Series:
    """One source in one mode, by turn: images a second, CPU of workers and host, others' cores."""

    per_second: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    host_ms: list[float] = field(default_factory=list)
    strangers_cores: list[float] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Series by mode and source, and what each source is compared with."""

    images: int
    against: Mapping[str, str]
    series: Mapping[tuple[str, str], Series]

    def as_json(self) -> str:
        """One object: series and ratios by mode and source."""
        found = {
            f"{mode}, {source}": asdict(series) | {"ratios": self.ratios(mode, source)}
            for (mode, source), series in self.series.items()
        }
        return json.dumps({"images": self.images, "against": self.against, "runs": found})

    def ratios(self, mode: str, source: str) -> list[float]:
        """By turn: the source's speed over that of what it is compared with."""
        mine, other = self.series[mode, source], self.series[mode, self.against[source]]
        return [a / b for a, b in zip(mine.per_second, other.per_second, strict=True)]


def measure(plan: Plan, say: Say) -> Figures:
    """Run everything; `say` gets a line for every run."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tagger-remote-")))
        files = photo_files(home, plan.photos, plan.distinct_photos)
        sources = [
            each
            for each in _sources(stack, files)
            if not plan.sources or each.name in (*plan.sources, "local")
        ]
        postgres = Postgres(stack)
        is_postgres = plan.database == "postgresql"
        chosen = read_settings(
            home=home / "remote",
            database_url=postgres.database("remote") if is_postgres else None,
            redis_url=None,
            allowed_roots=(home, *{file.parent for file in files}),
            allowed_networks=("127.0.0.0/8",),
            allowed_ports=("1-65535",),
            object_stores=("s3://shop/photos/",),
        )
        server_pid = postgres.process_id if is_postgres else None
        series: dict[tuple[str, str], Series] = {}
        with benched(chosen, server_pid=server_pid) as bench:
            for mode in plan.modes:
                for source in sources:
                    _run(bench, plan, files, source, mode, -1)
                for turn in range(plan.turns):
                    for source in sources:
                        found = _run(bench, plan, files, source, mode, turn)
                        _add(series.setdefault((mode, source.name), Series()), found)
                        say(_line(mode, source, found))
        return Figures(
            images=plan.images,
            against={each.name: each.against for each in sources},
            series=series,
        )


@dataclass(frozen=True, kw_only=True)
class _Found:
    per_second: float
    cpu_ms: float
    host_ms: float
    strangers_cores: float


def _run(
    bench: Bench, plan: Plan, files: Sequence[Path], source: Source, mode: str, turn: int
) -> _Found:
    count = plan.images if turn >= 0 else plan.warm_up
    name = f"{source.name.replace(' ', '-').replace(',', '')}-{mode}-{turn}"
    jobs = [
        job.model_copy(update={"image_uri": source.uri(Path(job.image_uri), number)})
        for number, job in enumerate(jobs_of(files, name, count))
    ]
    beside = [
        Job(product_id=f"{name}-dead-{number}", image_uri=source.dead(number))
        for number in range(count // (HOSTS - 1) if source.dead else 0)
        if source.dead
    ]
    before = cpu_s(source.host_pid) if source.host_pid else 0.0
    run = bench.run(name, mode, jobs, beside=beside)
    host_s = cpu_s(source.host_pid) - before if source.host_pid else 0.0
    return _Found(
        per_second=run.images_per_second,
        cpu_ms=sum(run.cpu_ms.values()),
        host_ms=1000 * host_s / count,
        strangers_cores=max(0.0, run.strangers_cores - host_s / run.seconds),
    )


def _add(series: Series, found: _Found) -> None:
    series.per_second.append(found.per_second)
    series.cpu_ms.append(found.cpu_ms)
    series.host_ms.append(found.host_ms)
    series.strangers_cores.append(found.strangers_cores)


def _sources(stack: ExitStack, files: Sequence[Path]) -> Iterator[Source]:
    """All sources; what serves them ends with the stack."""
    yield Source(name="local", against="local", uri=lambda file, _: str(file))
    yield _in_object_store(stack, files)
    folder = files[0].parent
    # Each at an address of its own: how many connections a host bears is found out by its name.
    for delay_ms in DELAYS_MS:
        at = f"127.0.1.{delay_ms}"
        url, pid = stack.enter_context(image_host(folder, delay_ms / 1000, at))
        yield Source(
            name=f"http {delay_ms} ms",
            against="local",
            uri=lambda file, _, url=url: f"{url}/{file.name}",  # type: ignore[misc]
            host_pid=pid,
        )
    addresses = [f"127.0.2.{number + 1}" for number in range(HOSTS)]
    *living, dying = addresses
    url, pid = stack.enter_context(image_host(folder, DELAYS_MS[0] / 1000, *living))
    port = url.rpartition(":")[2]

    def among_the_living(file: Path, number: int) -> str:
        return f"http://{living[number % len(living)]}:{port}/{file.name}"

    name = f"{len(living)} hosts"
    yield Source(name=name, against="local", uri=among_the_living, host_pid=pid)
    dead = stack.enter_context(_dead_host(dying))
    yield Source(
        name=f"{HOSTS} hosts, 1 dead",
        against=name,
        uri=among_the_living,
        dead=lambda number: f"{dead}/{number}.jpg",
        host_pid=pid,
    )


def _in_object_store(stack: ExitStack, files: Sequence[Path]) -> Source:
    store = stack.enter_context(object_store(files))
    # Where the workers that are started look for them.
    os.environ.update(store.environment())
    stack.callback(lambda: [os.environ.pop(name) for name in store.environment()])
    return Source(
        name="s3",
        against="local",
        uri=lambda file, _: f"s3://{store.bucket}/photos/{file.name}",
        host_pid=store.process_id,
    )


@contextmanager
def _dead_host(address: str) -> Iterator[str]:
    """A host that lets connect and never says a word."""
    with socket.create_server((address, 0), backlog=4096) as listening:
        yield f"http://{address}:{listening.getsockname()[1]}"


def _line(mode: str, source: Source, found: _Found) -> str:
    return (
        f"{mode}, {source.name}: {found.per_second:.0f} images per second, {found.cpu_ms:.2f} ms "
        f"of CPU an image, the host {found.host_ms:.2f} (other programs: "
        f"{found.strangers_cores:.2f} cores)"
    )


def render(figures: Figures) -> str:
    """The figures for people: each ratio is the median of the turns', with the least and most."""
    lines = [
        f"{figures.images} photos a run. Ratios are taken within each turn: median (least to most)",
        f"{'':<10}{'':<18}{'img/s':>8}{'ratio':>8}{'':<17}{'CPU ms':>8}{'host ms':>9}{'others':>8}",
    ]
    for (mode, source), series in figures.series.items():
        ratios = figures.ratios(mode, source)
        median = statistics.median(series.per_second)
        spread = f"({min(ratios):.2f} to {max(ratios):.2f})"
        others = max(series.strangers_cores)
        disturbed = "  disturbed" if others >= STRANGERS_CORES_MAX else ""
        lines.append(
            f"{mode:<10}{source:<18}{median:>8.0f}{statistics.median(ratios):>8.2f} {spread:<16}"
            f"{statistics.median(series.cpu_ms):>8.2f}{statistics.median(series.host_ms):>9.2f}"
            f"{others:>8.2f}{disturbed}"
        )
    against = sorted({other for source, other in figures.against.items() if other != "local"})
    lines += ["", f"Over local files; {HOSTS} hosts with a dead one over {', '.join(against)}."]
    return "\n".join(lines)
