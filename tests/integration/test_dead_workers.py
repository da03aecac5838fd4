"""A worker is killed with its children: what it held comes back within a minute, and once."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from celery import Celery
from sqlalchemy import Engine, func, select

from catalog.jobs import file_job
from catalog.queues import INGEST_QUEUE
from catalog.sample import write_pictures
from catalog.status import ProductStatus
from db.engine import reading
from db.ledger.models import Product, Tagging
from db.ledger.results import unfinished
from lab.faults.app import SLOW
from lab.faults.databases import SqliteDatabase
from lab.faults.test_rig import staged
from worker.broker import celery_url, connect
from worker.client import EnqueueClient
from worker.local.stack import LocalStack
from worker.reserved import held

pytestmark = pytest.mark.integration
PROMISE_S = 60.0
# The tests' machine may be busy with others: this is for the tagging, not for the coming back.
SLACK_S = 60.0
ITEMS = 400
RESERVED = 64  # at least: a batch, which is at work


def wait_for(condition: Callable[[], bool], seconds: float) -> float:
    """Wait; return the seconds that it took."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > seconds:
            pytest.fail(f"not within {seconds} s")
        time.sleep(0.05)
    return time.monotonic() - start


def test_what_a_killed_worker_held_is_back_within_a_minute(
    system: LocalStack, system_engine: Engine, client: EnqueueClient, tmp_path: Path
) -> None:
    """With the shipped settings, for products of our senders and of strangers."""
    url = system.settings.redis_url or ""
    pictures = [each.path for each in write_pictures(tmp_path / "photos")]
    jobs = [file_job(pictures[n % len(pictures)], f"p{n}") for n in range(ITEMS)]
    worker = system.workers[INGEST_QUEUE]
    # It leads a session of its own, so that a signal to its group reaches its children, too. They
    # wait until all is in the queue: on a slow machine they would have done it by then.
    os.killpg(worker.pid, signal.SIGSTOP)
    sender = Celery(broker=celery_url(url), set_as_current=False)
    for job in jobs[: ITEMS // 2]:
        sender.send_task("worker.tag_product", kwargs=job.payload(), queue=INGEST_QUEUE)
    sender.close()
    client.enqueue_singles(jobs[ITEMS // 2 :])
    os.killpg(worker.pid, signal.SIGCONT)
    broker = connect(url)
    ids = [job.product_id for job in jobs]

    def is_at_work() -> bool:
        with reading(system_engine)() as session:
            at_work = session.scalar(select(func.count(Product.attempt_by)))
        return bool(at_work) and held(broker) >= RESERVED

    wait_for(is_at_work, 120)
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    assert held(broker) > 0
    system.restart_dead()

    def is_done() -> bool:
        with reading(system_engine)() as session:
            return not unfinished(session, ids)

    wait_for(is_done, PROMISE_S + SLACK_S)
    with reading(system_engine)() as session:
        tagged = select(func.count()).select_from(Product)
        statuses = (ProductStatus.TAGGED, ProductStatus.NEEDS_REVIEW)
        assert session.scalar(tagged.where(Product.status.in_(statuses))) == ITEMS
        assert session.scalar(select(func.count()).select_from(Tagging)) == ITEMS
    wait_for(lambda: held(broker) == 0, 60)


def test_a_batch_that_takes_its_time_is_not_taken_for_a_dead_one(tmp_path: Path) -> None:
    overrides = {"batch_time_limit_s": 90.0, "lost_after_s": 300.0}
    database = SqliteDatabase(tmp_path / "database")
    with staged(tmp_path / "home", database, overrides, bulk=False) as scene:
        picture = tmp_path / "home" / "slow.png"
        picture.write_bytes(scene.pictures[0].read_bytes() + SLOW)
        ids = scene.enqueue([file_job(picture, "slow")], singles=1.0)
        scene.wait_at_work()

        def standing() -> tuple[str | None, int, int]:
            with reading(scene.engine)() as session:
                row = session.get_one(Product, ids[0])
                return row.attempt_by, row.attempts, row.crashes

        before = standing()
        # The reconciler looks every second; of a dead one it would be sure after 23.
        time.sleep(30)
        assert standing() == before
        assert before[1:] == (1, 0)
        os.killpg(scene.system.workers[INGEST_QUEUE].pid, signal.SIGKILL)
        wait_for(lambda: standing()[2] == 1, PROMISE_S)
