"""The ledger first, then the queue."""

import base64
import json
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from catalog.queues import BULK_QUEUE, INGEST_QUEUE
from catalog.status import ProductStatus
from db.engine import sessions
from db.ledger.models import Product
from tests.factories import job
from worker.broker import connect, depths
from worker.client import EnqueueClient
from worker.local.embedded import EmbeddedBroker

QUEUES = (INGEST_QUEUE, BULK_QUEUE)


@pytest.fixture
def client(engine: Engine, broker: EmbeddedBroker) -> EnqueueClient:
    return EnqueueClient(engine, broker_url=broker.url)


def waiting(broker: EmbeddedBroker) -> tuple[int, ...]:
    return tuple(depths(connect(broker.url), QUEUES).values())


def status_of(engine: Engine, product_id: str) -> str | None:
    with sessions(engine)() as session:
        product = session.get(Product, product_id)
        return product.status if product else None


def test_product_is_in_the_ledger_and_its_message_in_the_queue(
    client: EnqueueClient, engine: Engine, broker: EmbeddedBroker
) -> None:
    client.enqueue(job("p1"))
    assert status_of(engine, "p1") == ProductStatus.QUEUED
    assert waiting(broker) == (1, 0)
    message = json.loads(connect(broker.url).lindex(INGEST_QUEUE, 0) or "")
    assert message["headers"]["task"] == "worker.tag_product"
    assert message["content-type"] == "application/json"


def test_message_leaves_when_the_callers_transaction_commits(
    client: EnqueueClient, engine: Engine, broker: EmbeddedBroker
) -> None:
    with Session(engine) as session:
        client.enqueue(job("p1"), session)
        client.enqueue(job("p2"), session)
        assert waiting(broker) == (0, 0)
        session.commit()
        assert waiting(broker) == (2, 0)
        session.get_one(Product, "p1").updated_at = datetime.now(UTC)
        session.commit()
    assert waiting(broker) == (2, 0)


def test_nothing_leaves_when_the_callers_transaction_rolls_back(
    client: EnqueueClient, engine: Engine, broker: EmbeddedBroker
) -> None:
    with Session(engine) as session:
        client.enqueue(job("p1"), session)
        session.rollback()
        client.enqueue(job("p2"), session)
        session.commit()
    assert status_of(engine, "p1") is None
    assert status_of(engine, "p2") == ProductStatus.QUEUED
    assert waiting(broker) == (1, 0)


def test_released_savepoint_is_not_yet_a_commit(
    client: EnqueueClient, engine: Engine, broker: EmbeddedBroker
) -> None:
    with Session(engine) as session:
        with session.begin_nested():
            client.enqueue(job("p1"), session)
        assert waiting(broker) == (0, 0)
        session.commit()
    assert waiting(broker) == (1, 0)


def test_many_products_travel_in_chunks(
    client: EnqueueClient, engine: Engine, broker: EmbeddedBroker
) -> None:
    assert client.enqueue_many((job(f"p{n}") for n in range(250)), chunk_size=100) == 250
    assert waiting(broker) == (0, 3)
    assert status_of(engine, "p249") == ProductStatus.QUEUED


def ids_in(broker: EmbeddedBroker) -> list[str]:
    """The product ids of the messages in the ingest queue, the first to be taken first."""
    found = connect(broker.url).lrange(INGEST_QUEUE, 0, -1)
    bodies = [base64.b64decode(json.loads(each)["body"]) for each in reversed(found)]
    return [json.loads(body)[1]["product_id"] for body in bodies]


def test_singles_leave_in_their_order_under_the_ids_of_the_ledger(
    client: EnqueueClient, engine: Engine, broker: EmbeddedBroker
) -> None:
    wanted = [f"p{number:03d}" for number in range(300)]
    assert client.enqueue_singles(map(job, wanted)) == 300
    assert ids_in(broker) == wanted
    with sessions(engine)() as session:
        known = {session.get_one(Product, each).message_id for each in wanted}
    sent = connect(broker.url).lrange(INGEST_QUEUE, 0, -1)
    assert {json.loads(each)["headers"]["id"] for each in sent} == known


def test_singles_leave_after_the_broker_was_started_again(
    client: EnqueueClient, broker: EmbeddedBroker
) -> None:
    client.enqueue_singles([job("p1"), job("p2")])
    broker.process.terminate()  # it saves its queue
    broker.process.wait()
    broker.restart()
    client.enqueue_singles([job("p3"), job("p4")])
    # A message may come twice, never not at all.
    assert set(ids_in(broker)) == {"p1", "p2", "p3", "p4"}
