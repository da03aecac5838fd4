"""What each worker has reserved in the broker, so that a dead one's messages can be told apart.

Kombu keeps what is delivered and not yet acknowledged in one record for all workers, in which
nobody sees whose a message is: it comes back when its visibility timeout has passed, an hour
later. Here each worker has a record of its own, under its name in the ledger, and the names stand
in a list. A worker's Kombu still watches the timeouts of its own record; what a dead worker left
is put back by the reconciler (worker/dead_workers.py).
"""

import json
from typing import Any

import redis
from celery import bootsteps

from catalog.jobs import BULK_QUEUE, INGEST_QUEUE
from catalog.settings import settings
from worker.broker import connect, redis_url
from worker.tagging.identity import WORKER

QUEUES = (INGEST_QUEUE, BULK_QUEUE)
WORKERS = "tagger.workers"  # a hash: the queue of each worker that may hold messages


def record_keys(worker: str) -> dict[str, str]:
    """Kombu's transport options that give this worker a record of its own."""
    names = ("unacked_key", "unacked_index_key", "unacked_mutex_key")
    return {name: f"{name.removesuffix('_key')}.{worker}" for name in names}


class NameReservations(bootsteps.StartStopStep):  # type: ignore[misc]
    """Writes down who reserves messages, before the first one is: after every reconnect, too."""

    label = "Name reservations"
    requires = ("celery.worker.consumer.connection:Connection",)

    def start(self, parent: Any) -> None:
        queue = next(iter(set(parent.app.amqp.queues.consume_from) & set(QUEUES)), INGEST_QUEUE)
        client = connect(redis_url(settings()))
        try:
            client.hset(WORKERS, WORKER, queue)
        finally:
            client.close()


def workers(client: redis.Redis) -> dict[str, str]:
    """The queue of every worker that may hold messages, by its name."""
    found: Any = client.hgetall(WORKERS)
    return {name.decode(): queue.decode() for name, queue in found.items()}


def held(client: redis.Redis) -> int:
    """How many messages all workers hold, unacknowledged."""
    keys = [record_keys(worker)["unacked_key"] for worker in workers(client)]
    counts: list[Any] = [client.hlen(key) for key in keys]
    return sum(counts)


def put_back(client: redis.Redis, worker: str, queue: str) -> list[bytes]:
    """Put all that this worker holds back at the head of its queue; return the messages.

    The broker's word that they were delivered before is written on them. Any number may do this
    at once: each message moves in one transaction, and once.
    """
    keys = record_keys(worker)
    index, record = keys["unacked_index_key"], keys["unacked_key"]
    # The head is where the next message is taken from: the last one that is put there comes first.
    tags: Any = client.zrange(index, 0, -1, desc=True)
    others: Any = client.hkeys(record)
    moved = [_move(client, record, index, tag, queue) for tag in dict.fromkeys([*tags, *others])]
    return [message for message in moved if message is not None]


def forget(client: redis.Redis, worker: str) -> None:
    """Take a worker that holds nothing off the list."""
    client.hdel(WORKERS, worker)


def _move(client: redis.Redis, record: str, index: str, tag: bytes, queue: str) -> bytes | None:
    moved: list[bytes] = []

    def transaction(pipe: Any) -> None:
        moved.clear()  # tried again where somebody else changed the record meanwhile
        kept = pipe.hget(record, tag)
        pipe.multi()
        pipe.hdel(record, tag)
        pipe.zrem(index, tag)
        if kept is not None:
            message, to = _message(kept, queue)
            pipe.rpush(to, message)
            moved.append(message)

    client.transaction(transaction, record)
    return moved[0] if moved else None


def _message(kept: bytes, queue: str) -> tuple[bytes, str]:
    """The message in an entry of Kombu's record, marked as redelivered, and where it belongs.

    What Kombu did not write goes into the queue as it is: there it ends as a dead letter.
    """
    try:
        message, _, routing_key = json.loads(kept)
        message["headers"]["redelivered"] = True
        message["properties"]["delivery_info"]["redelivered"] = True
        return json.dumps(message).encode(), routing_key if routing_key in QUEUES else queue
    except (ValueError, TypeError, KeyError, RecursionError):
        return kept, queue
