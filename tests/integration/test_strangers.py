"""Messages of plain Celery senders with options of their own are neither held nor dropped."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from catalog.jobs import file_job
from db.engine import reading
from db.ledger.models import Product
from lab.faults.databases import SqliteDatabase
from lab.faults.test_rig import TestRig, staged
from worker.broker import celery_url
from worker.reserved import held

pytestmark = pytest.mark.integration


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[TestRig]:
    with staged(tmp_path / "home", SqliteDatabase(tmp_path / "database"), {}) as scene:
        yield scene


def test_countdowns_expiries_and_long_ids_are_tagged_at_once(scene: TestRig) -> None:
    options = [
        {"countdown": 86_400},
        {"expires": 0.001},
        {"task_id": "x" * 500},
        {"countdown": 86_400, "expires": 0.001},
    ]
    single, chunked = scene.jobs("single", len(options)), scene.jobs("chunked", len(options))
    app = Celery(broker=celery_url(scene.broker.url), set_as_current=False)
    for job, other, option in zip(single, chunked, options, strict=True):
        app.send_task("worker.tag_product", kwargs=job.payload(), queue="ingest", **option)
        jobs = {"jobs": [other.payload()]}
        app.send_task("worker.tag_chunk", kwargs=jobs, queue="bulk", **option)
    app.close()
    ids = [job.product_id for job in (*single, *chunked)]
    scene.settle(ids, timeout_s=30)
    tally = scene.tally(ids)
    assert (tally.tagged, tally.lost, tally.doubled) == (len(ids), 0, 0)
    # The outcome is committed first, the message acknowledged after it.
    assert scene.wait_for(lambda: held(scene.redis) == 0, timeout_s=10)


@pytest.mark.parametrize("task_id", ["product", "accepted-product"])
def test_one_id_for_every_picture_of_a_product(scene: TestRig, task_id: str) -> None:
    """As a sender does that uses the product's id for the message's."""
    app = Celery(broker=celery_url(scene.broker.url), set_as_current=False)
    seen: set[str] = set()
    for picture in (scene.pictures[0], scene.pictures[1], scene.pictures[0]):
        job = file_job(picture, "product")
        app.send_task("worker.tag_product", kwargs=job.payload(), queue="ingest", task_id=task_id)

        def is_tagged(uri: str = job.image_uri) -> bool:
            with reading(scene.engine)() as session:
                row = session.get(Product, "product")
                done = row is not None and row.settled_message_id not in (None, *seen)
                return bool(row and done and row.image_uri == uri)

        assert scene.wait_for(is_tagged, timeout_s=60)
        with reading(scene.engine)() as session:
            seen.add(session.get_one(Product, "product").settled_message_id or "")
    app.close()
    assert len(seen) == 3
    assert scene.tally(["product"]).doubled == 0
