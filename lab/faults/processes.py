"""Faults of processes: children and workers that die, stop or are stopped."""

import os
import signal
import subprocess
import time

from catalog.queues import INGEST_QUEUE
from lab.faults.cases import Case, FaultResult, Scale
from lab.faults.test_rig import FaultError, TestRig, wait_until_ready
from worker.reserved import held

# One fewer than the crashes that make a picture a quarantined one.
CHILD_KILLS = 2


def kill_child(scene: TestRig, scale: Scale) -> FaultResult:
    """kill -9 of children in the middle of their batches."""
    ids = scene.enqueue(scene.jobs("child", scale.items))
    killed: list[int] = []
    for _ in range(CHILD_KILLS):
        pid = scene.wait_for(
            lambda: (found := scene.at_work()) not in killed and found, timeout_s=20
        )
        if pid is None:
            break  # everything is done: the items were too few for another one
        os.kill(pid, signal.SIGKILL)
        killed.append(pid)
    if not killed:
        raise FaultError("no child was ever in the middle of a batch")
    return FaultResult(ids=ids, healed_at=time.monotonic(), note=f"{len(killed)} children killed")


def kill_worker(scene: TestRig, scale: Scale) -> FaultResult:
    """kill -9 of the whole ingest worker while its buffer and its child are full."""
    ids = scene.enqueue(scene.jobs("worker", scale.items), singles=1.0)
    scene.wait_at_work()
    in_hands = held(scene.redis)
    worker = scene.system.workers[INGEST_QUEUE]
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    return FaultResult(
        ids=ids, healed_at=time.monotonic(), note=f"{in_hands} messages in its hands"
    )


def stop_worker(scene: TestRig, scale: Scale) -> FaultResult:
    """SIGTERM with a half-full buffer; another worker must go on at once."""
    first = scene.system.workers[INGEST_QUEUE]
    half = scene.jobs("buffered", min(32, scale.items))
    ids = scene.enqueue(half, singles=1.0)
    scene.wait_for(lambda: held(scene.redis) >= len(half), timeout_s=30)
    prompt = {"TAGGER_FLUSH_INTERVAL_S": "0.25"}
    scene.system.start_worker(INGEST_QUEUE, 1, name="second", environment=prompt)
    wait_until_ready(scene.system, "second")
    ids += scene.enqueue(scene.jobs("stream", scale.items - len(half)), singles=1.0)
    scene.system.workers.pop(INGEST_QUEUE)
    asked = time.monotonic()
    first.terminate()
    try:
        first.wait(timeout=scene.system.settings.grace_period_s)
    except subprocess.TimeoutExpired:
        scene.system.workers["first"] = first
        raise FaultError("the worker outlived its grace period") from None
    exit_s = time.monotonic() - asked
    return FaultResult(ids=ids, healed_at=asked, note=f"exited in {exit_s:.1f} s")


CASES = [
    Case(name="kill -9 of a child mid-batch", play=kill_child),
    Case(name="kill -9 of the whole worker, full buffer", play=kill_worker),
    Case(
        name="SIGTERM with a half-full buffer",
        play=stop_worker,
        # Nothing may be owed to the reconciler here: the messages themselves must come back.
        overrides={"flush_interval_s": 30.0, "lost_after_s": 300.0},
        bulk=False,
    ),
]
