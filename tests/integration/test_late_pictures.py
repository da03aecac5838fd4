"""A slow host holds neither its batch nor the next one: its pictures go to a later batch."""

import time
from pathlib import Path

import pytest
from sqlalchemy import Engine

from catalog.jobs import Job
from catalog.sample import write_pictures
from catalog.settings import read_settings
from catalog.status import ProductStatus
from db.engine import make_engine, reading
from db.ledger.models import Product
from lab.pipeline.image_host import SLOW, image_host
from worker.client import EnqueueClient
from worker.local.stack import running

pytestmark = pytest.mark.integration

# Under SLOW the host takes sixty times as long, and a fetch gives up after twenty seconds.
DELAY_S = 0.35
TIMEOUT_S = 15.0


def test_batch_mates_of_a_slow_host_are_tagged_without_it(tmp_path: Path) -> None:
    pictures = [each.path for each in write_pictures(tmp_path / "pictures")][:12]
    chosen = read_settings(home=tmp_path / "home", allowed_networks=("127.0.0.0/8",))
    with image_host(pictures[0].parent, DELAY_S) as (url, _), running(chosen) as system:
        mates = [
            Job(product_id=f"mate-{n}", image_uri=f"{url}/{picture.name}")
            for n, picture in enumerate(pictures)
        ]
        late = Job(product_id="late", image_uri=f"{url}{SLOW}{pictures[0].name}")
        engine = make_engine(system.settings.database)
        client = EnqueueClient(engine, broker_url=system.settings.redis_url)
        client.enqueue_many([late, *mates])
        deadline = time.monotonic() + TIMEOUT_S
        while left := _unfinished(engine, mates):
            system.require_alive()
            assert time.monotonic() < deadline, f"{left} batch mates were held"
            time.sleep(0.05)
        with reading(engine)() as session:
            product = session.get_one(Product, "late")
            assert (product.status, product.last_reason_code) == ("queued", "fetch_timeout")
            assert product.next_attempt_at is not None
        engine.dispose()


def _unfinished(engine: Engine, jobs: list[Job]) -> int:
    done = (ProductStatus.TAGGED, ProductStatus.NEEDS_REVIEW)
    with reading(engine)() as session:
        return sum(session.get_one(Product, job.product_id).status not in done for job in jobs)
