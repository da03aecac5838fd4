"""The floor: the project's own functions in a bare loop, with no queue, ledger or metrics.

One process for each core reads, decodes, reduces, classifies and explains its share of the photos
in batches, and writes all its rows to a SQLite file in one transaction at the end. The pipeline
cannot be faster than that; how near it comes is what the benchmark is about.
"""

import multiprocessing
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path

import cv2
import numpy as np

from catalog.bundle import load_bundle
from catalog.images.decode import decode
from catalog.images.model_input import glance
from catalog.images.network_input import network_input
from catalog.images.overlay import crop, encode_jpeg, grad_cam, overlay
from catalog.images.preprocessing import DECODE_PX
from catalog.settings import Settings
from lab.pipeline.processes import busy_s, cpu_s
from worker.tagging.classifier import Classifier
from worker.tagging.lineup import Lineup, predict

# The figures are over when all have ended their work: a process that dies leaves them waiting.
TIMEOUT_S = 300.0
BATCH = 64
TABLE = (
    "CREATE TABLE rows (path TEXT, label TEXT, confidence REAL, class_map BLOB, embedding BLOB, "
    "overlay BLOB)"
)


@dataclass(frozen=True, kw_only=True)
class Floor:
    """cpu_ms: milliseconds of CPU for each photo. strangers_cores: as in a Run."""

    images_per_second: float
    cpu_ms: float
    strangers_cores: float


Row = tuple[str, str, float, bytes, bytes, bytes]


def measure_floor(files: Sequence[Path], count: int, chosen: Settings, processes: int) -> Floor:
    """`count` photos in all, from all processes being ready to the last commit."""
    context = multiprocessing.get_context("spawn")
    ready, ended = context.Barrier(processes + 1), context.Barrier(processes + 1)
    database = chosen.home / f"floor-{time.time_ns()}.db"
    with sqlite3.connect(database) as connection:
        connection.execute(TABLE)
    connection.close()
    shares = [[files[n % len(files)] for n in range(k, count, processes)] for k in range(processes)]
    workers = [
        context.Process(target=_work, args=(share, chosen, database, ready, ended))
        for share in shares
    ]
    for worker in workers:
        worker.start()
    ready.wait(TIMEOUT_S)
    started, busy = time.perf_counter(), busy_s()
    before = sum(cpu_s(worker.pid or 0) for worker in workers)
    ended.wait(TIMEOUT_S)
    spent = sum(cpu_s(worker.pid or 0) for worker in workers) - before
    seconds = time.perf_counter() - started
    strangers_s = busy_s() - busy - spent
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        raise RuntimeError("expected every process of the bare loop to end well, found one failed")
    return Floor(
        images_per_second=count / seconds,
        cpu_ms=1000 * spent / count,
        strangers_cores=max(0.0, strangers_s) / seconds,
    )


def _work(
    files: list[Path], chosen: Settings, database: Path, ready: Barrier, ended: Barrier
) -> None:
    cv2.setNumThreads(1)
    classifier = Classifier(load_bundle(chosen.bundle), threads=1)
    list(_rows(files[:BATCH], classifier, chosen.thumbnail_size_px))  # warm
    ready.wait()
    rows: list[Row] = []
    for start in range(0, len(files), BATCH):
        rows += _rows(files[start : start + BATCH], classifier, chosen.thumbnail_size_px)
    with sqlite3.connect(database, timeout=60) as connection:
        connection.executemany("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?)", rows)
    connection.close()
    ended.wait()


def _rows(files: Sequence[Path], classifier: Classifier, size_px: int) -> Iterator[Row]:
    lineup = Lineup(serving=classifier)
    views, inputs, judges = [], [], []
    for file in files:
        photo = decode(file.read_bytes(), size_px_min=DECODE_PX)
        seen = glance(photo.pixels)
        judges.append(lineup.judge_of("", kind=seen.kind))
        mine = {kind: network_input(photo.pixels, kind, seen) for kind in judges[-1].kinds}
        views.append(crop(photo.pixels, mine[judges[-1].kind].square, size_px))
        inputs.append(mine)
    for file, view, found in zip(files, views, predict(judges, inputs), strict=True):
        assert found is not None
        best = int(found.confidences.argmax())
        class_map = found.class_map
        yield (
            str(file),
            classifier.manifest.labels[best],
            float(found.confidences[best]),
            class_map.astype(np.float16).tobytes(),
            found.embedding.astype(np.float16).tobytes(),
            encode_jpeg(overlay(view, grad_cam(class_map[:, :, best]))),
        )
