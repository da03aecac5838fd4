"""What one worker does in a second, on photos as shops take them."""

import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

import cv2
import numpy as np
from numpy.typing import NDArray

from catalog.images.overlay import encode_jpeg
from catalog.jobs import Job, file_job
from catalog.queues import INGEST_QUEUE
from catalog.sample import SAMPLE
from catalog.settings import Settings, read_settings
from db import migrate
from db.engine import make_engine, reading
from db.ledger.results import unfinished
from worker.client import EnqueueClient
from worker.local.stack import LocalStack, running
from worker.tagging.batch_runner import BatchRunner
from worker.tagging.process import make_batch_runner

WIDTH_PX, HEIGHT_PX = 1000, 1333
GARMENT_PX = 900
BATCH = 64
POLL_S = 0.01


@dataclass(frozen=True, kw_only=True)
class ServeFigures:
    """stage_ms: milliseconds of one thread per image. child_memory_mb: resident memory of a real
    worker's child after a batch. ready_s: from starting that worker's process until it consumes.
    """

    images: int
    images_per_second: float
    decode_threads: int
    stage_ms: Mapping[str, float]
    child_memory_mb: float
    ready_s: float
    tensorflow_imported: bool

    def as_json(self) -> str:
        return json.dumps(asdict(self))


def measure(count: int) -> ServeFigures:
    """Tag `count` generated photos into SQLite as a worker's child does, then in a real worker."""
    with tempfile.TemporaryDirectory(prefix="tagger-bench-") as folder:
        home = Path(folder)
        jobs = generate_photos(home / "photos", count)
        chosen = read_settings(home=home, allowed_roots=(home,), database_url=None, redis_url=None)
        engine = make_engine(chosen.database)
        migrate.upgrade(engine)
        engine.dispose()
        seconds, stages = _in_this_process(chosen, jobs)
        child_memory_mb, ready_s = _in_a_worker(chosen, jobs[:BATCH])
    return ServeFigures(
        images=count,
        images_per_second=count / seconds,
        decode_threads=chosen.decode_threads,
        stage_ms={name: 1000 * spent / count for name, spent in stages.items()},
        child_memory_mb=child_memory_mb,
        ready_s=ready_s,
        tensorflow_imported="tensorflow" in sys.modules,
    )


def tag_directly(runner: BatchRunner, jobs: Sequence[Job]) -> None:
    """Tag and store jobs as a child does, without a broker: each as if in a message of its own."""
    runner.tag_and_store([job.payload() for job in jobs], [uuid4().hex for _ in jobs])


def _in_this_process(chosen: Settings, jobs: list[Job]) -> tuple[float, Mapping[str, float]]:
    runner = make_batch_runner(chosen)
    tag_directly(runner, jobs[:BATCH])  # warm: files, allocations
    runner.clock.seconds.clear()
    started = time.perf_counter()
    for start in range(0, len(jobs), BATCH):
        tag_directly(runner, jobs[start : start + BATCH])
    return time.perf_counter() - started, runner.clock.seconds


def _in_a_worker(chosen: Settings, jobs: list[Job]) -> tuple[float, float]:
    """Resident memory in MB of a real worker's child, and the seconds the worker took to start."""
    started = time.perf_counter()
    with running(chosen) as system:
        _wait_for_log(system, f"{INGEST_QUEUE}.log", " ready.")
        ready_s = time.perf_counter() - started
        engine = make_engine(system.settings.database)
        fresh = [job.model_copy(update={"product_id": f"{job.product_id}-again"}) for job in jobs]
        EnqueueClient(engine, broker_url=system.settings.redis_url).enqueue_singles(fresh)
        while True:
            system.require_alive()
            with reading(engine)() as session:
                if not unfinished(session, [job.product_id for job in fresh]):
                    break
            time.sleep(POLL_S)
        worker = system.workers[INGEST_QUEUE].pid
        children = Path(f"/proc/{worker}/task/{worker}/children").read_text().split()
        memory_mb = max(_resident_mb(int(child)) for child in children)
        engine.dispose()
    return memory_mb, ready_s


def _wait_for_log(system: LocalStack, name: str, text: str) -> None:
    while text not in (system.logs / name).read_text(errors="replace"):
        system.require_alive()
        time.sleep(POLL_S)


def _resident_mb(process_id: int) -> float:
    for line in Path(f"/proc/{process_id}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"expected VmRSS in the status of process {process_id}, found none")


def generate_photos(folder: Path, count: int) -> list[Job]:
    """JPEGs of 1,000×1,333 px: an enlarged test image, textured, on a plain background."""
    folder.mkdir(parents=True)
    with np.load(SAMPLE, allow_pickle=False) as sample:
        images = sample["images"]
    texture = np.random.default_rng(0).normal(0, 6, (GARMENT_PX, GARMENT_PX, 3))
    jobs = []
    for index in range(count):
        path = folder / f"{index:06d}.jpg"
        path.write_bytes(encode_jpeg(_photo(images[index % len(images)], texture, index)))
        jobs.append(file_job(path, f"bench-{index:06d}"))
    return jobs


def _photo(image: NDArray[np.uint8], texture: NDArray[np.float64], index: int) -> NDArray[np.uint8]:
    size = (GARMENT_PX, GARMENT_PX)
    garment = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC).astype(np.float32)[:, :, None]
    tint = 0.6 + 0.4 * np.array([(index % 3) / 2, (index % 5) / 4, (index % 7) / 6])
    photo = np.full((HEIGHT_PX, WIDTH_PX, 3), 250, np.float32)
    top, left = (HEIGHT_PX - GARMENT_PX) // 2, (WIDTH_PX - GARMENT_PX) // 2
    photo[top : top + GARMENT_PX, left : left + GARMENT_PX] -= garment * tint * 0.8 + texture * (
        garment > 40
    )
    photo[0, 0] -= index % 5  # no two files alike
    return np.clip(photo, 0, 255).astype(np.uint8)


def render(figures: ServeFigures) -> str:
    """The figures for people."""
    stages = figures.stage_ms.items()
    lines = [
        f"{figures.images_per_second:.0f} images per second: {figures.images} photos of "
        f"{WIDTH_PX}×{HEIGHT_PX} px, {figures.decode_threads} decode threads",
        *(f"  {name:<12} {spent:6.2f} ms per image" for name, spent in stages),
        f"Worker child {figures.child_memory_mb:.0f} MB resident; "
        f"broker and workers ready in {figures.ready_s:.2f} s",
        f"TensorFlow imported: {'yes' if figures.tensorflow_imported else 'no'}",
    ]
    return "\n".join(lines)
