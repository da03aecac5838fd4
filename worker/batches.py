"""celery-batches, hardened: no message is acknowledged before its outcome is stored.

celery-batches 0.11 acknowledges a batch whose function raised, forgets a batch whose child died,
and may never flush again after a reconnect. This subclass closes the three.
"""

import time
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from typing import Any

from celery.utils.log import get_logger
from celery_batches import Batches, SimpleRequest
from celery_batches.trace import apply_batches_task

from catalog.settings import settings

STORED = "stored"
# A database that is away must not be met with thousands of redeliveries a second.
REQUEUE_PAUSE_S = 1.0

logger = get_logger(__name__)


class SafeBatches(Batches):  # type: ignore[misc]
    """A batch task whose function returns STORED once every outcome is committed.

    Anything else it returns, an exception, or the death of its process puts every message of the
    batch back into the queue.
    """

    abstract = True
    acks_late = True
    _tref: Any

    def Strategy(  # noqa: N802 - celery's name
        self, task: Any, app: Any, consumer: Any
    ) -> Callable[..., None]:
        """Called at the start and again after every reconnect."""
        self.flush_every = settings().batch_size
        self.flush_interval = settings().flush_interval_s
        handler: Callable[..., None] = super().Strategy(task, app, consumer)
        # After a reconnect the old timer is gone with the old connection, but _tref still stands,
        # so that no message would ever start a new one.
        if self._tref is not None:
            self._tref.cancel()
            self._tref = None
        if not self._buffer.empty():
            # Their acknowledgement is lost with the connection; they are tagged now, and once
            # more when the broker delivers them again, which changes no row.
            self._tref = consumer.timer.call_repeatedly(self.flush_interval, self._do_flush)
        return handler

    def flush(self, requests: Collection[Any]) -> None:
        """Hand the buffered messages to a child, at most flush_every at a time."""
        for batch in _slices(requests, self.flush_every):
            self._submit(batch)

    def _submit(self, batch: list[Any]) -> None:
        def on_return(result: object) -> None:
            if result == STORED:
                for request in batch:
                    request.acknowledge()
            else:
                requeue(batch)

        def on_error(info: object) -> None:
            # The child died, or ran into its time limit.
            logger.error("Batch of %d lost, putting it back: %s", len(batch), info)
            requeue(batch)

        self._pool.apply_async(
            apply_batches_task,
            (self, ([SimpleRequest.from_request(request) for request in batch],), 0, None),
            callback=on_return,
            error_callback=on_error,
        )


def requeue(batch: list[Any]) -> None:
    """Put messages back into the queue."""
    for request in batch:
        request.reject(requeue=True)


def pause_before_requeue() -> None:
    """Let a database that is away come back; called in the child, where waiting is free."""
    time.sleep(REQUEUE_PAUSE_S)


def _slices(requests: Collection[Any], size: int) -> Iterator[list[Any]]:
    waiting = iter(requests)
    while batch := list(islice(waiting, size)):
        yield batch
