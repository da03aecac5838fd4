"""Faults of the broker and of the way to it."""

import time

from lab.faults.cases import Case, FaultResult, Scale
from lab.faults.stores import fill, small_disk
from lab.faults.test_rig import TestRig

CUTS = 5


def kill_broker(scene: TestRig, scale: Scale) -> FaultResult:
    """kill -9 of the broker, which comes back after a while with what is on its disk."""
    ids = scene.enqueue(scene.jobs("broker", scale.items))
    scene.wait_at_work()
    scene.broker.process.kill()
    scene.broker.process.wait()
    time.sleep(min(2.0, scale.outage_s))
    scene.broker.restart()
    return FaultResult(ids=ids, healed_at=time.monotonic())


def flush_broker(scene: TestRig, scale: Scale) -> FaultResult:
    """FLUSHALL while half of the items are still in the queues."""
    ids = scene.enqueue(scene.jobs("flush", scale.items))
    scene.wait_at_work()
    scene.redis.flushall()
    healed_at = time.monotonic()
    # Items that come after: queues and bindings are gone, and must not swallow them.
    ids += scene.enqueue(scene.jobs("after", scale.items // 10))
    return FaultResult(ids=ids, healed_at=healed_at)


def cut_connections(scene: TestRig, scale: Scale) -> FaultResult:
    """CLIENT KILL of every connection, again and again."""
    ids = scene.enqueue(scene.jobs("cut", scale.items))
    scene.wait_at_work()
    cut = 0
    for _ in range(CUTS):
        cut += int(scene.redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"))  # type: ignore[no-untyped-call]
        time.sleep(0.4)
    return FaultResult(ids=ids, healed_at=time.monotonic(), note=f"{cut} connections cut")


def fill_broker(scene: TestRig, scale: Scale) -> FaultResult:
    """A broker without memory: it refuses every message, and every record of what is at work."""
    third = scale.items // 3
    ids = scene.enqueue(scene.jobs("before", third))
    scene.redis.config_set("maxmemory", "1")
    ids += scene.enqueue(scene.jobs("refused", third))
    time.sleep(min(3.0, scale.outage_s))
    scene.redis.config_set("maxmemory", "0")
    healed_at = time.monotonic()
    ids += scene.enqueue(scene.jobs("after", scale.items - 2 * third))
    return FaultResult(ids=ids, healed_at=healed_at)


def fill_queue_disk(scene: TestRig, scale: Scale) -> FaultResult:
    """No room for the append-only file: the broker refuses every write until there is some."""
    half = scale.items // 2
    ids = scene.enqueue(scene.jobs("before", half))
    scene.wait_at_work()
    filler = scene.broker.folder / "filler"
    note = fill(filler)
    ids += scene.enqueue(scene.jobs("refused", scale.items - half))
    time.sleep(min(10.0, scale.outage_s))
    filler.unlink()
    return FaultResult(ids=ids, healed_at=time.monotonic(), note=note)


CASES = [
    Case(name="broker killed and restarted", play=kill_broker),
    Case(name="FLUSHALL mid-run", play=flush_broker),
    Case(name="connections cut (CLIENT KILL)", play=cut_connections),
    Case(name="broker out of memory", play=fill_broker),
    Case(name="disk full under the broker", play=fill_queue_disk, queue_disk=small_disk),
]
