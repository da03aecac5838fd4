"""The enqueue client: the ledger first, then the queue.

A product is in the ledger before its message exists, so that a message the broker lost is seen
to be missing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any

from celery import Celery
from celery.utils.log import get_logger
from kombu.exceptions import BatchPublishError
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session, SessionTransaction

from catalog.jobs import Job
from catalog.queues import BULK_QUEUE, CHUNK_SIZE_MAX, INGEST_QUEUE, TAG_CHUNK, TAG_PRODUCT
from catalog.settings import settings
from db.engine import make_engine, sessions
from db.ledger import accepting as ledger
from db.ledger.message_ids import new_message_id
from worker.broker import celery_url, redis_url

logger = get_logger(__name__)

WAITING, LISTENING = "tagger_waiting", "tagger_listening"


class EnqueueClient:
    """Accepts products for tagging.

    Give it the engine of your own database if your products live in the same one.
    """

    def __init__(self, engine: Engine | None = None, *, broker_url: str | None = None) -> None:
        # An application of its own: a sender needs none of the worker's configuration.
        self._app = Celery(
            broker=celery_url(broker_url or redis_url(settings())), set_as_current=False
        )
        self._sessions = sessions(engine or make_engine(settings().database))

    def enqueue(self, job: Job, session: Session | None = None) -> None:
        """Accept one product and publish its message.

        With a session, the row joins that session's transaction and the message is published when
        it commits (and never, if it rolls back).
        """
        if session is None:
            self.enqueue_singles([job])
            return
        ids = ledger.accept(session, [job], datetime.now(UTC))
        _publish_after_commit(session, partial(self.publish, [job], ids))

    def enqueue_many(self, jobs: Iterable[Job], *, chunk_size: int | None = None) -> int:
        """Accept many products and publish them in chunks on the bulk queue; return how many."""
        accepted = 0
        for chunk in _chunks(jobs, min(chunk_size or settings().chunk_size, CHUNK_SIZE_MAX)):
            message_id = new_message_id()
            with self._sessions.begin() as session:
                ledger.accept(
                    session, chunk, datetime.now(UTC), queue=BULK_QUEUE, message_id=message_id
                )
            self.publish_chunk(chunk, message_id)
            accepted += len(chunk)
        return accepted

    def enqueue_singles(self, jobs: Iterable[Job]) -> int:
        """Accept many products and publish one ingest message for each; return how many."""
        accepted = 0
        for chunk in _chunks(jobs, CHUNK_SIZE_MAX):
            with self._sessions.begin() as session:
                ids = ledger.accept(session, chunk, datetime.now(UTC))
            self.publish(chunk, ids)
            accepted += len(chunk)
        return accepted

    def declare_queues(self) -> None:
        """Bind both queues again, for senders that still believe in a binding that was flushed.

        A message that no binding routes is dropped without an error.
        """
        with self._app.producer_pool.acquire(block=True) as producer:
            for name in (INGEST_QUEUE, BULK_QUEUE):
                self._app.amqp.queues[name](producer.channel).declare()

    def publish(self, jobs: Sequence[Job], ids: Mapping[str, str] | None = None) -> None:
        """Publish one message for each job; their rows must be committed.

        ids: the message id of each product, as the ledger has it, by product id.
        """
        ids = ids or {}
        with self._app.producer_pool.acquire(block=True) as producer:
            if len(jobs) > 1:
                try:
                    with producer.batch():  # one round trip for all, and a third of the CPU
                        self._publish_each(producer, jobs, ids)
                except BatchPublishError:
                    # Nobody knows which of them left. Each is sent (again) by itself, over a new
                    # connection if need be: a message that comes twice changes no row.
                    logger.warning("Publishing %d messages one by one", len(jobs), exc_info=True)
                else:
                    return
            self._publish_each(producer, jobs, ids)

    def _publish_each(self, producer: Any, jobs: Sequence[Job], ids: Mapping[str, str]) -> None:
        for job in jobs:
            self._app.send_task(
                TAG_PRODUCT,
                kwargs=job.payload(),
                queue=INGEST_QUEUE,
                producer=producer,
                task_id=ids.get(job.product_id),
            )

    def publish_chunk(self, jobs: Sequence[Job], message_id: str | None = None) -> None:
        """Publish all jobs as one message; their rows must be committed."""
        payload = {"jobs": [job.payload() for job in jobs]}
        with self._app.producer_pool.acquire(block=True) as producer:
            self._app.send_task(
                TAG_CHUNK, kwargs=payload, queue=BULK_QUEUE, producer=producer, task_id=message_id
            )


def _publish_after_commit(session: Session, publish: Callable[[], None]) -> None:
    """Publish when the session's outermost transaction commits; forget it if that rolls back."""
    waiting = session.info.setdefault(WAITING, [])
    if not waiting and not session.info.get(LISTENING):
        session.info[LISTENING] = True
        event.listen(session, "after_commit", _publish_waiting)
        event.listen(session, "after_soft_rollback", _forget_waiting)
    waiting.append(publish)


def _publish_waiting(session: Session) -> None:
    if session.in_nested_transaction():
        return  # a savepoint was released; the transaction may still roll back
    waiting = session.info.get(WAITING, [])
    published, waiting[:] = list(waiting), []
    for publish in published:
        publish()


def _forget_waiting(session: Session, previous: SessionTransaction) -> None:
    if previous.parent is None:
        session.info.get(WAITING, []).clear()


def _chunks(jobs: Iterable[Job], size: int) -> Iterator[list[Job]]:
    waiting = iter(jobs)
    while chunk := list(islice(waiting, size)):
        yield chunk
