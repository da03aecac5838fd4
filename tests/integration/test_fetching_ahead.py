"""The next chunk's pictures are fetched while a chunk is at work, and given back at a shutdown."""

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine

from catalog.jobs import Job
from catalog.sample import write_pictures
from catalog.settings import Settings, read_settings
from catalog.status import ProductStatus
from db.engine import make_engine, reading
from db.ledger.models import Product
from tests.catalog.fetching.hosts import host, ok
from worker.client import EnqueueClient
from worker.local.stack import running

pytestmark = pytest.mark.integration

CHUNK, CHUNKS = 6, 5
TIMEOUT_S = 120.0
# The first chunk takes so long that all others have come to the worker meanwhile.
FIRST_S = 1.0
STOPPING_S = 4.0


class Shop:
    """A host that gives a chunk's pictures only when the next chunk's are asked for."""

    def __init__(self, picture: bytes) -> None:
        self._answer = ok(picture)
        self.asked = [threading.Event() for _ in range(CHUNKS + 1)]
        self.late: list[int] = []
        self.gives_first = threading.Event()
        self.gives_first.set()

    def __call__(self, connection: socket.socket, request: bytes) -> bool:
        chunk = int(request.split(b" ", 2)[1].split(b"/")[1])
        self.asked[chunk].set()
        if chunk == 0:
            time.sleep(FIRST_S)
        elif chunk < CHUNKS - 1 and not self.asked[chunk + 1].wait(TIMEOUT_S):
            self.late.append(chunk)
        if chunk == 1:
            self.gives_first.wait(TIMEOUT_S)
        connection.sendall(self._answer)
        return True


@pytest.fixture
def chosen(tmp_path: Path) -> Settings:
    return read_settings(
        home=tmp_path / "home",
        allowed_networks=("127.0.0.0/8",),
        allowed_ports=("1-65535",),
        bulk_processes=1,
        # What waits for the next chunk must not be taken for a slow host.
        fetch_timeout_s=40.0,
        fetch_patience_s=40.0,
    )


@contextmanager
def shop_in(tmp_path: Path) -> Iterator[tuple[Shop, list[Job], list[bytes]]]:
    picture = write_pictures(tmp_path / "pictures")[0].path.read_bytes()
    shop = Shop(picture)
    with host(shop) as images:
        jobs = [
            Job(product_id=f"p{chunk}-{n}", image_uri=images.url(f"/{chunk}/{n}.jpg"))
            for chunk in range(CHUNKS)
            for n in range(CHUNK)
        ]
        yield shop, jobs, images.requests


def test_the_next_chunk_is_fetched_while_one_is_at_work_and_no_picture_twice(
    tmp_path: Path, chosen: Settings
) -> None:
    with shop_in(tmp_path) as (shop, jobs, requests), running(chosen) as system:
        engine = make_engine(system.settings.database)
        send(engine, system.settings, jobs)
        wait_until_tagged(engine, jobs)
        engine.dispose()
        assert shop.late == []
        assert len(requests) == len(set(requests)) == len(jobs)


def test_at_a_shutdown_what_was_fetched_ahead_is_given_back_unbegun(
    tmp_path: Path, chosen: Settings
) -> None:
    with shop_in(tmp_path) as (shop, jobs, _):
        shop.gives_first.clear()
        with running(chosen) as system:
            engine = make_engine(system.settings.database)
            send(engine, system.settings, jobs)
            assert shop.asked[2].wait(TIMEOUT_S)
            # Its batch ends well, after the worker was told to stop.
            threading.Timer(STOPPING_S, shop.gives_first.set).start()
        later = [job for job in jobs if job.product_id[1] in "234"]
        assert {(row.status, row.attempts) for row in rows(engine, later)} == {("queued", 0)}
        for event in shop.asked:
            event.set()
        with running(chosen):
            wait_until_tagged(engine, jobs)
        assert {row.attempts for row in rows(engine, later)} == {1}
        engine.dispose()


def wait_until_tagged(engine: Engine, jobs: Sequence[Job]) -> None:
    done = (ProductStatus.TAGGED, ProductStatus.NEEDS_REVIEW)
    deadline = time.monotonic() + TIMEOUT_S
    while left := [row.id for row in rows(engine, jobs) if row.status not in done]:
        assert time.monotonic() < deadline, f"{left} are not tagged"
        time.sleep(0.1)


def rows(engine: Engine, jobs: Sequence[Job]) -> list[Product]:
    with reading(engine)() as session:
        return [session.get_one(Product, job.product_id) for job in jobs]


def send(engine: Engine, chosen: Settings, jobs: Sequence[Job]) -> None:
    client = EnqueueClient(engine, broker_url=chosen.redis_url)
    client.enqueue_many(jobs, chunk_size=CHUNK)
