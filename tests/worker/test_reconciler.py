"""The reconciler against a real broker and both databases."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import redis
from celery import Celery
from sqlalchemy import Engine, select, update

from catalog.queues import BULK_QUEUE, INGEST_QUEUE
from catalog.settings import read_settings
from db.engine import reading, sessions
from db.ledger.accepting import accept, accept_for_upkeep
from db.ledger.heartbeats import RECONCILER, latest
from db.ledger.models import Product
from tests.factories import job
from tests.worker.door.envelopes import message
from worker import reconciler as module
from worker.broker import celery_url, connect, depths
from worker.client import EnqueueClient
from worker.local.embedded import EmbeddedBroker
from worker.reconciler import Reconciler, product_ids

LONG_AGO = timedelta(hours=2)


@pytest.fixture
def client(engine: Engine, broker: EmbeddedBroker) -> EnqueueClient:
    return EnqueueClient(engine, broker_url=broker.url)


@pytest.fixture
def reconciler(
    engine: Engine, broker: EmbeddedBroker, client: EnqueueClient
) -> Iterator[Reconciler]:
    connection = connect(broker.url)
    yield Reconciler(engine, client, connection, read_settings(lost_after_s=60))
    connection.close()


def waiting(broker: EmbeddedBroker) -> tuple[int, int]:
    found = depths(connect(broker.url), (INGEST_QUEUE, BULK_QUEUE))
    return found[INGEST_QUEUE], found[BULK_QUEUE]


def age(engine: Engine, by: timedelta = LONG_AGO) -> None:
    """Make everything that was published look older."""
    with sessions(engine).begin() as session:
        session.execute(update(Product).values(published_at=datetime.now(UTC) - by))


def test_lost_singles_and_chunks_are_published_again_as_they_were(
    reconciler: Reconciler, engine: Engine, client: EnqueueClient, broker: EmbeddedBroker
) -> None:
    client.enqueue_singles([job("a"), job("b")])
    client.enqueue_many([job(f"c{n}") for n in range(20)], chunk_size=10)
    before = [message_ids(broker, INGEST_QUEUE), message_ids(broker, BULK_QUEUE)]
    connect(broker.url).flushall()
    age(engine)
    assert reconciler.run().republished == 22
    assert waiting(broker) == (2, 2)
    assert [message_ids(broker, INGEST_QUEUE), message_ids(broker, BULK_QUEUE)] == before
    assert reconciler.run().republished == 0


def test_queue_that_is_merely_long_is_left_alone(
    reconciler: Reconciler, engine: Engine, client: EnqueueClient, broker: EmbeddedBroker
) -> None:
    client.enqueue_singles([job(f"p{n}") for n in range(100)])
    age(engine)
    assert reconciler.run().republished == 0
    assert waiting(broker) == (100, 0)


def test_what_is_older_than_the_oldest_message_is_lost_even_while_the_queue_is_long(
    reconciler: Reconciler, engine: Engine, client: EnqueueClient, broker: EmbeddedBroker
) -> None:
    with sessions(engine).begin() as session:
        accept(session, [job("lost")], datetime.now(UTC))
    age(engine, 2 * LONG_AGO)
    client.enqueue_singles([job(f"p{n}") for n in range(10)])
    with sessions(engine).begin() as session:
        others = Product.id != "lost"
        session.execute(
            update(Product).where(others).values(published_at=datetime.now(UTC) - LONG_AGO)
        )
    assert reconciler.run().republished == 1
    assert waiting(broker) == (11, 0)


def test_long_bulk_queue_does_not_hide_a_lost_single(
    reconciler: Reconciler, engine: Engine, client: EnqueueClient, broker: EmbeddedBroker
) -> None:
    client.enqueue_many([job(f"c{n}") for n in range(50)], chunk_size=5)
    with sessions(engine).begin() as session:
        accept(session, [job("lost")], datetime.now(UTC))
    age(engine)
    assert reconciler.run().republished == 1
    assert waiting(broker) == (1, 10)


def test_queue_of_strangers_messages_only_says_nothing(
    reconciler: Reconciler, engine: Engine, client: EnqueueClient, broker: EmbeddedBroker
) -> None:
    client.publish([job(f"stranger-{n}") for n in range(5)])
    with sessions(engine).begin() as session:
        accept(session, [job("lost")], datetime.now(UTC))
    age(engine)
    assert reconciler.run().republished == 0
    connect(broker.url).delete(INGEST_QUEUE)
    assert reconciler.run().republished == 1


def test_full_queue_gets_nothing_more(
    reconciler: Reconciler,
    engine: Engine,
    client: EnqueueClient,
    broker: EmbeddedBroker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "DEPTH_MAX", 5)
    client.publish([job(f"stranger-{n}") for n in range(5)])
    with sessions(engine).begin() as session:
        accept(session, [job("due")], datetime.now(UTC))
        session.execute(update(Product).values(next_attempt_at=datetime.now(UTC) - LONG_AGO))
    assert reconciler.run().retried == 0
    monkeypatch.setattr(module, "DEPTH_MAX", 6)
    assert reconciler.run().retried == 1


def test_flushed_bindings_are_made_again_for_senders_that_believe_in_them(
    reconciler: Reconciler, broker: EmbeddedBroker
) -> None:
    app = Celery(broker=celery_url(broker.url), set_as_current=False)
    with app.producer_pool.acquire(block=True) as producer:
        queue = app.amqp.queues[INGEST_QUEUE]
        queue(producer.channel).declare()
        connect(broker.url).flushall()
        reconciler.run()
        producer.publish({}, exchange=INGEST_QUEUE, routing_key=INGEST_QUEUE)
    app.close()
    assert waiting(broker) == (1, 0)


def test_each_pass_leaves_a_sign_of_life(reconciler: Reconciler, engine: Engine) -> None:
    reconciler.run()
    with reading(engine)() as session:
        heartbeat = latest(session, RECONCILER)
    assert heartbeat is not None
    assert heartbeat.detail == {"returned": 0, "retried": 0, "republished": 0}


UNREADABLE = [
    b"garbage",
    b"[" * 600 + b"]" * 600,
    message([[], [], {}]),
    message([[], {"product_id": "a\0b", "image_uri": "x"}, {}]),
    message([[], {"product_id": "\ud800", "image_uri": "x"}, {}]),
    message([5, {"jobs": 5}, {}], headers={"task": "worker.tag_chunk", "id": "\ud800"}),
]


@pytest.mark.parametrize("behind", [0, 100])
def test_unreadable_messages_among_the_oldest_stop_nothing(
    reconciler: Reconciler,
    engine: Engine,
    client: EnqueueClient,
    broker: EmbeddedBroker,
    behind: int,
) -> None:
    for number in range(behind + len(UNREADABLE)):
        connect(broker.url).lpush(INGEST_QUEUE, UNREADABLE[number % len(UNREADABLE)])
    with sessions(engine).begin() as session:
        accept(session, [job("lost")], datetime.now(UTC))
    age(engine, 2 * LONG_AGO)
    if behind:
        client.enqueue_singles([job("waits")])
        age(engine, LONG_AGO / 2)
        with sessions(engine).begin() as session:
            long_ago = datetime.now(UTC) - 2 * LONG_AGO
            lost = update(Product).where(Product.id == "lost")
            session.execute(lost.values(published_at=long_ago))
    assert reconciler.run().republished == 1


@pytest.mark.parametrize("raw", [b"", b"{}", b"[1]", b'{"body": "!"}', *UNREADABLE])
def test_unreadable_message_names_no_product(raw: bytes) -> None:
    assert product_ids(raw) == []


def message_ids(broker: EmbeddedBroker, queue: str) -> set[str]:
    return {json.loads(each)["headers"]["id"] for each in connect(broker.url).lrange(queue, 0, -1)}


def test_what_no_door_published_is_published_at_the_next_look_and_once(
    reconciler: Reconciler, engine: Engine, broker: EmbeddedBroker
) -> None:
    assert reconciler.publish_due() == 0
    now = datetime.now(UTC)
    with sessions(engine).begin() as session:
        for queue, name in ((INGEST_QUEUE, "s"), (BULK_QUEUE, "c")):
            jobs = [job(f"{name}{n}") for n in range(20)]
            accept_for_upkeep(session, jobs, now, queue=queue, chunk_size=10)
    assert waiting(broker) == (0, 0)
    assert reconciler.publish_due() == 40
    assert waiting(broker) == (20, 2)
    assert reconciler.publish_due() == reconciler.run().retried == 0
    with reading(engine)() as session:
        rows = session.scalars(select(Product)).all()
        published = {row.message_id for row in rows}
        assert all(row.published_at and row.next_attempt_at is None for row in rows)
    ids = message_ids(broker, INGEST_QUEUE) | message_ids(broker, BULK_QUEUE)
    assert ids == published


def test_a_broker_that_is_away_leaves_what_is_due(
    reconciler: Reconciler, engine: Engine, broker: EmbeddedBroker
) -> None:
    now = datetime.now(UTC)
    with sessions(engine).begin() as session:
        accept_for_upkeep(session, [job("a")], now, queue=INGEST_QUEUE, chunk_size=10)
    away = Reconciler(
        engine, EnqueueClient(engine, broker_url="redis://127.0.0.1:1"),
        connect("redis://127.0.0.1:1"), read_settings(),
    )  # fmt: skip
    with pytest.raises(redis.RedisError):
        away.publish_due()
    assert reconciler.publish_due() == 1
