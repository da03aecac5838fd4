"""Measures the tutorial-style task: a broker, one Celery worker with two processes, SQLite."""

import importlib.util
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from celery import Celery

from catalog.bundle import KERAS_MODEL
from catalog.networks import NetworkName
from catalog.settings import Settings
from worker.broker import celery_url
from worker.local.embedded import EmbeddedBroker
from worker.local.processes import stop, tied_to_parent

# Their first image takes seconds: each process imports TensorFlow and traces its functions.
WARM_UP = 24
START_TIMEOUT_S = 180.0
TABLE = "CREATE TABLE taggings (product_id TEXT, label INTEGER, confidence REAL, overlay BLOB)"


def tensorflow_is_installed() -> bool:
    """Whether the training extra is there; nothing is imported."""
    return importlib.util.find_spec("tensorflow") is not None


def measure_tutorial(files: Sequence[Path], count: int, chosen: Settings) -> float:
    """Photos per second of the tutorial-style task, once it is warm."""
    chosen.home.mkdir(parents=True)
    database = chosen.home / "tutorial.db"
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(TABLE)
    broker = EmbeddedBroker(chosen.queue_folder)
    url = celery_url(broker.url)
    worker = _start(chosen, url, database)
    try:
        sender = Celery(broker=url, set_as_current=False)
        _send(sender, files, WARM_UP)
        _wait(connection, worker, WARM_UP, chosen)
        started = time.perf_counter()
        _send(sender, files, count)
        _wait(connection, worker, WARM_UP + count, chosen)
        return count / (time.perf_counter() - started)
    finally:
        stop([worker], grace_s=10)
        connection.close()
        broker.stop()


def _start(chosen: Settings, url: str, database: Path) -> "subprocess.Popen[bytes]":
    with (chosen.home / "tutorial.log").open("wb") as log:
        return subprocess.Popen(
            [
                sys.executable, "-m", "celery", "-A", "lab.pipeline.tutorial", "worker",
                "--concurrency", "2", "--without-gossip", "--without-mingle",
            ],
            cwd=chosen.home,
            env=os.environ
            | {
                "TUTORIAL_BROKER": url,
                "TUTORIAL_DATABASE": str(database),
                "TUTORIAL_MODEL": str(chosen.bundle.absolute() / NetworkName.REDUCED / KERAS_MODEL),
                "TF_CPP_MIN_LOG_LEVEL": "3",
            },
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=tied_to_parent,
        )  # fmt: skip


def _send(sender: Celery, files: Sequence[Path], count: int) -> None:
    with sender.producer_pool.acquire(block=True) as producer:
        for n in range(count):
            sender.send_task(
                "tutorial.tag", (f"tutorial-{n}", str(files[n % len(files)])), producer=producer
            )


def _wait(
    connection: sqlite3.Connection,
    worker: "subprocess.Popen[bytes]",
    rows: int,
    chosen: Settings,
) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while connection.execute("SELECT count(*) FROM taggings").fetchone()[0] < rows:
        if worker.poll() is not None or time.monotonic() > deadline:
            log = (chosen.home / "tutorial.log").read_text(errors="replace")[-2000:]
            raise RuntimeError(f"expected {rows} rows of the tutorial's worker, found fewer: {log}")
        time.sleep(0.02)
