"""What a dead worker held comes back, once; what a living one holds stays with it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from kombu import Queue
from sqlalchemy import Engine, update

from catalog.queues import INGEST_QUEUE
from catalog.settings import read_settings
from catalog.status import ProductStatus
from db.engine import reading, sessions
from db.ledger.attempts import Delivery, begin
from db.ledger.heartbeats import beat_child
from db.ledger.models import Heartbeat, Product
from tests.factories import job
from worker import dead_workers, reserved
from worker.broker import celery_url, connect
from worker.client import EnqueueClient
from worker.local.embedded import EmbeddedBroker
from worker.reconciler import Reconciler
from worker.tagging.sign_of_life import SignOfLife
from worker.taking import TakingConnection

HOUR = timedelta(hours=1)


@pytest.fixture
def queue(broker: EmbeddedBroker) -> Iterator[redis.Redis]:
    client = connect(broker.url)
    yield client
    client.close()


@pytest.fixture
def client(engine: Engine, broker: EmbeddedBroker) -> EnqueueClient:
    return EnqueueClient(engine, broker_url=broker.url)


@pytest.fixture
def reconciler(engine: Engine, queue: redis.Redis, client: EnqueueClient) -> Reconciler:
    return Reconciler(engine, client, queue, read_settings())


class Consumer:
    """Takes messages and never acknowledges them, as a worker does until its batch is stored."""

    def __init__(self, broker: EmbeddedBroker, worker: str) -> None:
        self.connection = TakingConnection(
            celery_url(broker.url), transport_options=reserved.record_keys(worker)
        )
        channel = self.connection.channel()
        channel.do_restore = False  # it will not live to do it
        self.queue = Queue(INGEST_QUEUE, routing_key=INGEST_QUEUE)(channel)
        connect(broker.url).hset(reserved.WORKERS, worker, INGEST_QUEUE)

    def reserve(self, count: int) -> list[dict[str, Any]]:
        """The headers of so many messages, the oldest first."""
        found = [self.queue.get(no_ack=False) for _ in range(count)]
        return [message.headers for message in found]


def die(engine: Engine, worker: str) -> None:
    """The worker's only child was silent for long, at the last look as well."""
    long_ago = datetime.now(UTC) - timedelta(minutes=1)
    with sessions(engine).begin() as session:
        beat_child(session, f"{worker}:1", INGEST_QUEUE)
        session.execute(
            update(Heartbeat)
            .where(Heartbeat.name == f"{worker}:1")
            .values(
                beat_at=long_ago,
                detail={"queue": INGEST_QUEUE, "silent_since": long_ago.isoformat()},
            )
        )


def attempt(engine: Engine, client: EnqueueClient, worker: str, *names: str) -> None:
    """Children of this worker are at these products, whose messages it took."""
    with sessions(engine).begin() as session:
        rows = {each: session.get_one(Product, each) for each in names}
        deliveries = [
            Delivery(job=job(name), message_id=row.message_id or "") for name, row in rows.items()
        ]
        now = datetime.now(UTC)
        begin(session, deliveries, now, owner=f"{worker}:1", attempt_s_max=140.0)


def product(engine: Engine, name: str) -> Product:
    with reading(engine)() as session:
        return session.get_one(Product, name)


def test_all_that_it_had_reserved_comes_back_marked_and_in_its_order(
    reconciler: Reconciler,
    engine: Engine,
    client: EnqueueClient,
    broker: EmbeddedBroker,
    queue: redis.Redis,
) -> None:
    client.enqueue_singles([job("a")])
    client.publish([job("stranger")], {"stranger": "their-id"})  # the ledger knows nothing of it
    client.enqueue_singles([job("b"), job("c")])
    taken = Consumer(broker, "dead").reserve(3)
    die(engine, "dead")
    assert queue.llen(INGEST_QUEUE) == 1
    assert reconciler.run().returned == 3
    again = Consumer(broker, "next").reserve(4)
    assert [each["id"] for each in again[:3]] == [each["id"] for each in taken]
    assert [each.get("redelivered", False) for each in again] == [True, True, True, False]
    assert reserved.held(queue) == 4
    assert set(reserved.workers(queue)) == {"next"}
    assert reconciler.run().returned == 0


def test_what_it_was_at_is_counted_and_comes_back_once(
    reconciler: Reconciler,
    engine: Engine,
    client: EnqueueClient,
    broker: EmbeddedBroker,
    queue: redis.Redis,
) -> None:
    client.enqueue_singles([job("a"), job("b")])
    Consumer(broker, "dead").reserve(2)
    attempt(engine, client, "dead", "a")
    die(engine, "dead")
    done = reconciler.run()
    assert (done.returned, done.republished, queue.llen(INGEST_QUEUE)) == (2, 0, 2)
    row = product(engine, "a")
    assert (row.status, row.crashes, row.attempt_by) == (ProductStatus.QUEUED, 1, None)
    assert product(engine, "b").crashes == 0


def test_what_it_was_at_comes_back_though_the_broker_has_forgotten_it(
    reconciler: Reconciler, engine: Engine, client: EnqueueClient, queue: redis.Redis
) -> None:
    client.enqueue_singles([job("a")])
    queue.flushall()
    attempt(engine, client, "dead", "a")
    die(engine, "dead")
    assert reconciler.run().returned == 1
    assert queue.llen(INGEST_QUEUE) == 1
    assert reconciler.run().returned == 0


def test_a_slow_but_living_batch_is_left_alone(
    reconciler: Reconciler,
    engine: Engine,
    client: EnqueueClient,
    broker: EmbeddedBroker,
    queue: redis.Redis,
) -> None:
    client.enqueue_singles([job("a")])
    Consumer(broker, "slow").reserve(1)
    attempt(engine, client, "slow", "a")
    die(engine, "slow")
    with sessions(engine).begin() as session:
        beat_child(session, "slow:1", INGEST_QUEUE)  # it was only silent
    assert reconciler.run().returned == 0
    assert (product(engine, "a").attempt_by, product(engine, "a").crashes) == ("slow:1", 0)
    assert (queue.llen(INGEST_QUEUE), reserved.held(queue)) == (0, 1)


def test_a_child_beats_while_its_batch_takes_its_time(engine: Engine) -> None:
    sign = SignOfLife(engine, INGEST_QUEUE, beat_s=0.05)
    sign.start()
    stamps: set[datetime] = set()
    deadline = datetime.now(UTC) + timedelta(seconds=60)
    while len(stamps) < 3 and datetime.now(UTC) < deadline:
        with reading(engine)() as session:
            stamps |= {row.beat_at for row in session.query(Heartbeat)}
    assert len(stamps) == 3
    sign.stop()
    with reading(engine)() as session:
        assert session.query(Heartbeat).count() == 0


def test_a_worker_that_nobody_ever_heard_of_is_given_up_after_a_while(
    reconciler: Reconciler,
    client: EnqueueClient,
    broker: EmbeddedBroker,
    queue: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client.enqueue_singles([job("a")])
    Consumer(broker, "mute").reserve(1)
    assert reconciler.run().returned == 0
    monkeypatch.setattr(dead_workers, "UNHEARD_S", 0.0)
    assert reconciler.run().returned == 1
    assert queue.llen(INGEST_QUEUE) == 1


def test_what_kombu_did_not_write_goes_into_the_queue_as_it_is(
    reconciler: Reconciler, engine: Engine, queue: redis.Redis
) -> None:
    entries = {"1": b"\xff\x00", "2": b"[" * 5000, "3": b"null", "4": b'["text", "", "bulk"]'}
    queue.hset("unacked.dead", mapping=entries)
    queue.hset(reserved.WORKERS, "dead", INGEST_QUEUE)
    die(engine, "dead")
    assert reconciler.run().returned == 4
    assert set(queue.lrange(INGEST_QUEUE, 0, -1)) == set(entries.values())
