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

from catalog.queues import BULK_QUEUE, INGEST_QUEUE
from catalog.settings import settings
from worker.broker import connect, redis_url
from worker.tagging.identity import WORKER
from worker.taking import taken_key

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
    records = [record_keys(worker)["unacked_key"] for worker in workers(client)]
    counts: list[Any] = [client.hlen(each) for each in records]
    counts += [client.llen(taken_key(each)) for each in records]
    return sum(map(int, counts))


def put_back(client: redis.Redis, worker: str, queue: str) -> list[bytes]:
    """Put all that this worker holds back at the head of its queue; return the messages.

    That they were delivered before is written on them, as the broker does it. Any number may do
    this at once: each message moves in one transaction, and once.
    """
    keys: Any = record_keys(worker)
    index, record = keys["unacked_index_key"], keys["unacked_key"]
    moved: list[bytes] = []
    # Taken and not recorded, so never seen by anyone: as it was.
    while (taken := _as_it_was(client, record, queue)) is not None:
        moved.append(taken)
    # The head is where the next message is taken from: the last one that is put there comes first.
    tags: Any = client.zrange(index, 0, -1, desc=True)
    others: Any = client.hkeys(record)
    for tag in dict.fromkeys([*tags, *others]):
        message = _move(client, record, index, tag, queue)
        if message is not None:
            moved.append(message)
    return moved


def forget(client: redis.Redis, worker: str) -> None:
    """Take a worker that holds nothing off the list."""
    client.hdel(WORKERS, worker)


def _as_it_was(client: redis.Redis, record: str, queue: str) -> bytes | None:
    message: Any = client.lmove(taken_key(record), queue, "LEFT", "RIGHT")
    return None if message is None else bytes(message)


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
