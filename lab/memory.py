"""Whether a child's memory stays flat, however many pictures it has seen."""

import itertools
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from catalog.jobs import Job, file_job
from catalog.sample import write_pictures
from catalog.settings import read_settings
from db import migrate
from db.engine import make_engine
from lab.serving import BATCH, generate_photos, tag_directly
from worker.tagging.process import make_batch_runner

PHOTOS = 30
# One large photo among so many small pictures: large blocks come and go between small ones.
SMALL_BETWEEN = 20
SAMPLES = 20


@dataclass(frozen=True, kw_only=True)
class MemoryFigures:
    """resident_mb: after each of the equal parts of the run; growth_mb: from the second of them,
    when every cache is warm, to the last.
    """

    images: int
    seconds: float
    resident_mb: Sequence[float]

    @property
    def growth_mb(self) -> float:
        return self.resident_mb[-1] - self.resident_mb[1]

    def as_json(self) -> str:
        return json.dumps(asdict(self) | {"growth_mb": self.growth_mb})


def measure(count: int) -> MemoryFigures:
    """Tag and store `count` pictures in this process, as one worker's child does."""
    with tempfile.TemporaryDirectory(prefix="tagger-memory-") as folder:
        home = Path(folder)
        chosen = read_settings(home=home, allowed_roots=(home,), database_url=None, redis_url=None)
        engine = make_engine(chosen.database)
        migrate.upgrade(engine)
        engine.dispose()
        runner = make_batch_runner(chosen)
        jobs = _endless_jobs(home)
        started, resident, done = time.perf_counter(), [], 0
        for part in range(1, SAMPLES + 1):
            while done < count * part // SAMPLES:
                batch = list(itertools.islice(jobs, BATCH))
                tag_directly(runner, batch)
                done += len(batch)
            resident.append(_resident_mb())
            click.echo(f"{done:>8} images  {resident[-1]:.1f} MB", err=True)
    return MemoryFigures(images=done, seconds=time.perf_counter() - started, resident_mb=resident)


def render(figures: MemoryFigures) -> str:
    """The figures for people."""
    return (
        f"{figures.images} images in one child, {figures.seconds:.0f} s: "
        f"{figures.resident_mb[1]:.0f} MB resident after a tenth of them, "
        f"{figures.resident_mb[-1]:.0f} MB at the end ({figures.growth_mb:+.1f} MB)"
    )


def _endless_jobs(home: Path) -> Iterator[Job]:
    small = [picture.path for picture in write_pictures(home / "pictures")]
    photos = [Path(job.image_uri.removeprefix("file://")) for job in
              generate_photos(home / "photos", PHOTOS)]  # fmt: skip
    for number in itertools.count():
        large = number % SMALL_BETWEEN == 0
        files = photos if large else small
        yield file_job(files[number % len(files)], f"memory-{number:07d}")


def _resident_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("expected VmRSS in /proc/self/status, found none")
