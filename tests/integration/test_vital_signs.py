"""Health, metrics and logs of a running system."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog.settings import environment
from lab.faults.databases import SqliteDatabase
from lab.faults.test_rig import TestRig, staged

pytestmark = pytest.mark.integration
TAGGER = "from catalog.cli import main; main()"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[TestRig]:
    with staged(tmp_path, SqliteDatabase(tmp_path / "database"), {}, bulk=False) as scene:
        yield scene


def tagger(scene: TestRig, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", TAGGER, *arguments],
        env=os.environ | environment(scene.system.settings),
        cwd=scene.system.settings.home,
        capture_output=True,
        text=True,
    )


def wait_for_health(scene: TestRig, healthy: bool) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        done = tagger(scene, "health", "ingest")
        if (done.returncode == 0) == healthy:
            return done.stdout
        time.sleep(0.5)
    raise AssertionError(done.stdout + done.stderr)


def test_worker_that_lives_and_takes_nothing_is_unhealthy_until_it_goes_on(scene: TestRig) -> None:
    first = scene.enqueue(scene.jobs("first", 70), singles=1.0)
    scene.settle(first, timeout_s=60)
    wait_for_health(scene, True)
    worker = scene.system.workers["ingest"]
    os.kill(worker.pid, signal.SIGSTOP)
    second = scene.enqueue(scene.jobs("second", 70), singles=1.0)
    assert "messages wait and nobody takes them" in wait_for_health(scene, False)
    os.kill(worker.pid, signal.SIGCONT)
    scene.settle(second, timeout_s=60)
    wait_for_health(scene, True)


def test_metrics_logs_and_status_tell_what_was_done(scene: TestRig) -> None:
    jobs = scene.jobs("item", 100)
    missing = jobs[0].model_copy(update={"product_id": "gone", "image_uri": "file:///etc/gone"})
    ids = scene.enqueue([*jobs, missing], singles=1.0)
    scene.settle(ids, timeout_s=60)

    lines = tagger(scene, "metrics", "--once").stdout.splitlines()
    pairs = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
    counted = {name: float(value) for name, value in pairs}
    done = [
        value
        for name, value in counted.items()
        if name.startswith("tagger_items_total") and "retry_planned" not in name
    ]
    assert sum(done) == 101
    assert counted['tagger_failures_total{queue="ingest",reason="forbidden_path"}'] == 1
    assert counted['tagger_batch_size_sum{queue="ingest"}'] >= 101
    assert counted['tagger_stage_seconds_count{queue="ingest",stage="store"}'] >= 2
    assert counted['tagger_queue_messages{queue="ingest"}'] == 0
    assert counted["tagger_database_up"] == counted["tagger_broker_up"] == 1
    assert counted["tagger_reconciler_age_seconds"] < 60

    entries = [json.loads(line) for line in scene.system.log("ingest").read_text().splitlines()
               if line.startswith("{")]  # fmt: skip
    told = {entry["product_id"]: entry for entry in entries if "product_id" in entry}
    assert set(told) == set(ids)
    assert told["gone"]["outcome"] == "failed"
    assert all(entry["task_id"].startswith("accepted-") for entry in told.values())
    assert {entry.get("model_version") for entry in told.values()} > {None}

    status = json.loads(tagger(scene, "status", "--json").stdout)
    assert status["products"] == 101
    assert status["tagged_per_s"] > 0
    assert status["failed_by_reason"] == {"forbidden_path": 1}
    assert status["checks"]["reconciler"]["healthy"]
    assert status["healthy"]
