"""A message that a worker takes is its queue's, its list's or its record's, at every instant."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from kombu import Consumer, Queue

from catalog.queues import INGEST_QUEUE
from tests.factories import job
from worker import reserved
from worker.broker import celery_url, connect
from worker.client import EnqueueClient
from worker.local.embedded import EmbeddedBroker
from worker.taking import TakingConnection, taken_key

TAKEN = taken_key(reserved.record_keys("w")["unacked_key"])


class Worker:
    """A consumer as a worker's main process runs one; it acknowledges nothing by itself."""

    def __init__(self, broker: EmbeddedBroker, prefetch: int) -> None:
        self.connection = TakingConnection(
            celery_url(broker.url), transport_options=reserved.record_keys("w")
        )
        channel = self.connection.channel()
        channel.do_restore = False
        self.found: list[Any] = []
        queue = Queue(INGEST_QUEUE, routing_key=INGEST_QUEUE)
        self.consumer = Consumer(
            channel, [queue], callbacks=[lambda body, message: self.found.append(message)]
        )
        self.consumer.qos(prefetch_count=prefetch)
        self.consumer.consume()

    def work(self, rounds: int = 8) -> list[str]:
        """The ids of all messages that have come."""
        for _ in range(rounds):
            try:
                self.connection.drain_events(timeout=0.2)
            except TimeoutError:
                continue
        return [message.headers["id"] for message in self.found]


@pytest.fixture
def queue(broker: EmbeddedBroker) -> Iterator[redis.Redis]:
    client = connect(broker.url)
    client.hset(reserved.WORKERS, "w", INGEST_QUEUE)
    yield client
    client.close()


def send(broker: EmbeddedBroker, *ids: str, priority: int | None = None) -> None:
    client = EnqueueClient(broker_url=broker.url)
    for each in ids:
        with client._app.producer_pool.acquire(block=True) as producer:
            client._app.send_task(
                "worker.tag_product",
                kwargs=job(each).payload(),
                queue=INGEST_QUEUE,
                task_id=each,
                priority=priority,
                producer=producer,
            )


def test_messages_come_in_their_order_also_those_that_come_later(
    broker: EmbeddedBroker, queue: redis.Redis
) -> None:
    worker = Worker(broker, prefetch=100)
    send(broker, "a", "b")
    assert worker.work() == ["a", "b"]
    assert worker.work(rounds=2) == ["a", "b"]
    send(broker, "c")
    assert worker.work() == ["a", "b", "c"]
    for message in worker.found:
        message.ack()
    assert reserved.held(queue) == 0


def test_messages_of_any_priority_come(broker: EmbeddedBroker, queue: redis.Redis) -> None:
    send(broker, "later", priority=9)
    send(broker, "now")
    assert Worker(broker, prefetch=100).work(rounds=20) == ["now", "later"]


def test_nothing_is_in_nobodys_hands_when_a_worker_is_full(
    broker: EmbeddedBroker, queue: redis.Redis
) -> None:
    names = [f"p{n}" for n in range(9)]
    send(broker, *names)
    worker = Worker(broker, prefetch=4)
    assert worker.work() == names[:4]
    waiting = queue.llen(INGEST_QUEUE)
    assert reserved.held(queue) + waiting == 9
    # What was taken while there was no more room is what Kombu alone would have lost.
    assert reserved.put_back(queue, "w", INGEST_QUEUE)
    assert (reserved.held(queue), queue.llen(INGEST_QUEUE)) == (0, 9)
    assert Worker(broker, prefetch=100).work(rounds=20) == names


def test_a_message_that_was_only_taken_goes_back(
    broker: EmbeddedBroker, queue: redis.Redis
) -> None:
    send(broker, "first", "second")
    queue.lmove(INGEST_QUEUE, TAKEN, "RIGHT", "LEFT")  # as the script does it, and then: kill -9
    assert reserved.held(queue) == 1
    assert len(reserved.put_back(queue, "w", INGEST_QUEUE)) == 1
    assert Worker(broker, prefetch=100).work() == ["first", "second"]
