"""Faults that go on for a while: starvation, storms, things that somebody forgot."""

import os
import random
import signal
import time
from datetime import UTC, datetime

from sqlalchemy import select

from catalog.jobs import Job
from catalog.queues import BULK_QUEUE, INGEST_QUEUE
from catalog.status import ProductStatus
from db.engine import reading
from db.ledger.models import Product
from lab.faults.cases import Case, FaultResult, Scale
from lab.faults.databases import PostgresDatabase
from lab.faults.image_host import flaky_host
from lab.faults.test_rig import FaultError, TestRig

KILL_EVERY_S = 2.0
# Killed oftener than this, a picture that happened to be there each time is rightly suspected.
KILLS_MAX = 12
LOCKED_PRODUCTS = 8
STORM_OUTAGES = 3
WAVES = 10
# Bulk jobs for each single one: hours of work beside minutes of it, in small.
BULK_FOR_ONE = 4
FAST_HOSTS = {"allowed_networks": ("127.0.0.0/8",), "allowed_ports": ("1-65535",)}


def exhaust_connections(scene: TestRig, scale: Scale) -> FaultResult:
    """Others take every connection that the server has, and the workers lose theirs."""
    assert isinstance(scene.database, PostgresDatabase)
    ids = scene.enqueue(scene.jobs("pool", scale.items))
    scene.wait_at_work()
    scene.engine.dispose()
    with scene.database.server.all_connections_of(scene.database.name) as taken:
        time.sleep(scale.outage_s)
    return FaultResult(ids=ids, healed_at=time.monotonic(), note=f"{taken} connections taken")


def forget_transaction(scene: TestRig, scale: Scale) -> FaultResult:
    """Somebody's transaction stays open, idle, with locks on products that are to be tagged."""
    assert isinstance(scene.database, PostgresDatabase)
    jobs = scene.jobs("forgotten", scale.items)
    locked = [job.product_id for job in jobs[:: scale.items // LOCKED_PRODUCTS]]
    ids = scene.enqueue(jobs)
    with scene.engine.connect() as forgotten:
        rows = select(Product.id).where(Product.id.in_(locked)).with_for_update()
        held = forgotten.execute(rows).all()
        time.sleep(scale.outage_s)
        forgotten.rollback()
    return FaultResult(ids=ids, healed_at=time.monotonic(), note=f"{len(held)} products locked")


def storm_of_retries(scene: TestRig, scale: Scale) -> FaultResult:
    """An image host fails half of all requests for minutes, while ever more are asked of it."""
    with flaky_host(scene.pictures[0].parent) as host:
        names = [path.name for path in scene.pictures]
        jobs = [
            Job(product_id=f"storm-{n:05d}", image_uri=f"{host.url}/{names[n % len(names)]}")
            for n in range(scale.items)
        ]
        host.failing_share = 0.5
        wave, ids = scale.items // WAVES, list[str]()
        for start in range(0, scale.items, wave):
            ids += scene.enqueue(jobs[start : start + wave])
            time.sleep(STORM_OUTAGES * scale.outage_s / WAVES)
        host.failing_share = 0.0
        healed_at = time.monotonic()
        scene.settle(ids, timeout_s=180)  # the host must outlive the last retry
        return FaultResult(ids=ids, healed_at=healed_at, note=f"{host.failures} answers of 503")


def kill_again_and_again(scene: TestRig, scale: Scale) -> FaultResult:
    """kill -9 every two seconds: a child, or a worker with all its children, by chance."""
    dice = random.Random(0)  # noqa: S311 - disorder, no secret
    ids = scene.enqueue(scene.jobs("kills", scale.items))
    killed, deadline = 0, time.monotonic() + scale.outage_s
    while time.monotonic() < deadline and killed < KILLS_MAX and scene.left(ids):
        queue = dice.choice((INGEST_QUEUE, BULK_QUEUE))
        child = scene.at_work(queue)
        if child is not None and dice.random() < 0.5:
            os.kill(child, signal.SIGKILL)
        else:
            scene.system.workers[queue].kill()
        killed += 1
        time.sleep(KILL_EVERY_S)
        scene.system.restart_dead()
    if not killed:
        raise FaultError("everything was done before the first kill")
    return FaultResult(ids=ids, healed_at=time.monotonic(), note=f"{killed} kills")


def starve_ingest(scene: TestRig, scale: Scale) -> FaultResult:
    """New products arrive while the bulk queue is full: they must not wait for its end."""
    many = scene.jobs("bulk", BULK_FOR_ONE * scale.items)
    ids = scene.enqueue(many, singles=0.0)
    scene.wait_for(lambda: scene.at_work(BULK_QUEUE), timeout_s=60)
    singles = scene.enqueue(scene.jobs("new", scale.items // 4), singles=1.0)
    asked, started = datetime.now(UTC), time.monotonic()
    scene.settle(singles, timeout_s=120)
    waited_s = time.monotonic() - started
    left = scene.left(ids)

    def wrong() -> int:
        """New products that were tagged later than the last of the bulk that was before them."""
        with reading(scene.engine)() as session:
            queued = (ProductStatus.QUEUED, ProductStatus.PROCESSING)
            late = select(Product.id).where(Product.id.in_(singles), Product.status.in_(queued))
            behind = session.scalars(late.where(Product.queued_at < asked)).all()
        return len(behind) or (0 if left else len(singles))

    note = f"new ones after {waited_s:.1f} s, {left} of bulk still waiting"
    return FaultResult(ids=[*ids, *singles], healed_at=time.monotonic(), wrong=wrong, note=note)


CASES = [
    Case(name="connections exhausted", play=exhaust_connections, databases=["PostgreSQL"]),
    Case(name="transaction forgotten (idle)", play=forget_transaction, databases=["PostgreSQL"]),
    Case(
        name="image host fails half of all",
        play=storm_of_retries,
        overrides={**FAST_HOSTS, "attempts_max": 20, "retry_backoff_max_s": 4.0},
    ),
    Case(name="kills every two seconds", play=kill_again_and_again),
    Case(name="ingest beside a full bulk queue", play=starve_ingest),
]
