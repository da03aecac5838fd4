"""celery-batches, hardened: no message is acknowledged before its outcome is stored.

celery-batches 0.11 acknowledges a batch whose function raised, forgets a batch whose child died,
holds messages with an ETA until a clock that has nothing to do with theirs says so, and may never
flush again after a reconnect. This subclass closes the four, and gives suspects a batch of their
own.

What can interleave. Everything here runs in one thread, the one of the worker's event loop: the
handler of messages, the timer, and the pool's callbacks, which it calls as it reads what children
wrote. So nothing is locked, and one of them never runs in the middle of another. Their order can
surprise:
- A child says that it accepted a batch and later what came of it through the same pipe, so these
  two keep their order. A child may die before the first or between them, or after it wrote its
  result: the pool reads what is left in the pipe for LOST_WORKER_TIMEOUT_S before it calls
  on_error, and a job that has its result is forgotten. So on_return or on_error is called, once.
- A child may die after its commit and before its result. The batch then goes back although it is
  stored; the ledger knows its message ids, and does nothing twice.
- A connection may end while batches are at work. The broker gives their messages out again; the
  acknowledgements on the old connection say nothing to anybody, and the second delivery finds its
  outcome in the ledger, or tags for nothing and changes no row.
- A pool that is closing takes nothing more, and says so to nobody. What _submit hands it then is
  neither acknowledged nor put back; the broker's record of this worker gives it back.
Messages that could not be pickled for a child do not get here: see worker/door/reading.py.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import count, islice
from typing import Any

from billiard.exceptions import TimeLimitExceeded
from celery.utils.log import get_logger
from celery.worker import state
from celery_batches import Batches, SimpleRequest, consume_queue
from celery_batches.trace import apply_batches_task

from catalog.failures import FailureCode
from catalog.settings import settings
from db.retag.message_ids import run_of
from worker.door.calls import payloads
from worker.line import Batch, Line
from worker.tagging.fetch_ahead import Foreseen, is_remote
from worker.tagging.identity import owner

# What a batch's function returns when every outcome is committed: the suspects, each by the
# position of its message and of the job within it.
Suspects = list[tuple[int, int]]
# After a child's exit the pool waits this long for a result it might have left in the pipe.
LOST_WORKER_TIMEOUT_S = 0.5

logger = get_logger(__name__)


class SafeBatches(Batches):  # type: ignore[misc]
    """A batch task whose function returns its suspects once every other outcome is committed.

    If it raises, or its process dies, every message of the batch goes back into the queue. It is
    called as `run(requests, alone, crash, foreseen)`; see worker/tasks.py.
    """

    abstract = True
    acks_late = True
    # Messages in a batch at most; None: as the settings say.
    messages_max: int | None = None
    # Whether the timer has left in the buffer what may still fill.
    _is_filling = False
    # Private to celery-batches, whose version is pinned for them: `_buffer`, what arrived and is
    # in no batch; `_count`, arrivals since the last flush, the next of which fills the batch;
    # `_tref`, the timer that flushes what does not fill one, none while nothing waits; `_pool`,
    # the consumer's. Its `_pending`, for messages with an ETA, stays empty.
    _tref: Any

    def Strategy(  # noqa: N802 - celery's name
        self, task: Any, app: Any, consumer: Any
    ) -> Callable[..., None]:
        """Called at the start and again after every reconnect."""
        self.flush_every = self.messages_max or settings().batch_size
        self.flush_interval = settings().flush_interval_s
        self._line.reconnected(consumer.pool.num_processes)
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

    def _do_flush(self) -> None:
        """Flush the buffer; an ETA or an expiry in a message is ignored.

        Retries are planned in the ledger: a message that was held here would keep a place of the
        prefetch, and one that was dropped would be lost.

        While every child has another batch to go on with, what the timer would hand over could only
        wait; so it fills instead. A batch of four would cost transactions like one of sixty-four,
        and its child had no time to fetch the next one's pictures.
        """
        # Called by the timer, and by the handler for the message that fills a batch: never both at
        # once. Whichever is second finds the buffer empty, or what came in between.
        if self._line.to_spare >= 0 and 0 < self._buffer.qsize() < self.flush_every:
            self._is_filling = True
            return
        self._flush_buffer()

    def _flush_buffer(self) -> None:
        self._is_filling = False
        requests = list(consume_queue(self._buffer))
        if requests:
            self.flush(requests)
            # Otherwise what the timer flushed would count towards the next batch, and that would
            # be handed over before it is full.
            self._count = count(1)
        elif self._tref is not None:
            self._tref.cancel()
            self._tref = None

    def _ended(self, batch: Batch, *, died: bool = False) -> None:
        """A child is free: what was left to fill is needed now, to go on with or to be foreseen."""
        if self._is_filling and self._line.to_spare <= 0:
            self._flush_buffer()
        self._line.ended(batch, died=died)

    @cached_property
    def _line(self) -> Line:
        return Line(self._submit, _foreseen)

    def flush(self, requests: Collection[Any]) -> None:
        """Let the buffered messages wait for a child, at most flush_every in a batch."""
        for some in _slices(requests, self.flush_every):
            messages = [_Message(request=request) for request in some]
            parts = [SimpleRequest.from_request(request) for request in some]
            self._line.add(Batch(messages=messages, parts=parts, alone=False))

    def _submit(self, batch: Batch, foreseen: Foreseen | None) -> None:
        """Run one batch in a child, which may fetch meanwhile what is foreseen."""

        def on_accepted(process_id: int, time_accepted: float) -> None:
            self._line.accepted(batch, process_id)
            for message in batch.messages:
                message.begin(process_id)

        def on_return(result: Suspects | None) -> None:
            # The suspects first: a message of which all parts but these have ended must not be
            # acknowledged before they have.
            for place, job in result or []:
                message = batch.messages[place]
                message.parts += 1
                single = [_single(batch.parts[place], job)]
                self._line.add(Batch(messages=[message], parts=single, alone=True))
            for message in batch.messages:
                message.end(stored=result is not None)
            self._ended(batch)

        def on_error(info: Any) -> None:
            # The pool wraps an exception that it raised itself together with its traceback.
            error = getattr(info.exception, "exc", info.exception)
            logger.error("Batch of %d lost in its process: %r", len(batch.messages), error)
            self._record_crash(batch, error)
            self._ended(batch, died=True)

        self._pool.apply_async(
            apply_batches_task,
            (self, (batch.parts, batch.alone, None, foreseen), 0, None),
            accept_callback=on_accepted,
            callback=on_return,
            error_callback=on_error,
            timeout=settings().batch_time_limit_s,
            lost_worker_timeout=LOST_WORKER_TIMEOUT_S,
        )

    def _record_crash(self, batch: Batch, error: BaseException) -> None:
        """Have a new child record the crash; only then put the messages back.

        The other way round the next child could meet them before it knows of the crash, and begin
        another attempt on top of one that looks alive. If the record itself fails they go back all
        the same: the open attempt is found dead when it is too old to be alive.
        """
        hung = isinstance(error, TimeLimitExceeded)
        code = FailureCode.PROCESSING_TIMED_OUT if hung else FailureCode.PROCESSING_CRASHED
        crash = Crash(owner=owner(batch.at_work[0]) if batch.at_work else "", code=code)

        def put_back(_: object) -> None:
            for message in batch.messages:
                message.end(stored=False)

        self._pool.apply_async(
            apply_batches_task,
            (self, (batch.parts, False, crash), 0, None),
            callback=put_back,
            error_callback=put_back,
            timeout=settings().batch_time_limit_s,
            lost_worker_timeout=LOST_WORKER_TIMEOUT_S,
        )


@dataclass(frozen=True, kw_only=True)
class Crash:
    """That a child ended at work: its name in the ledger, and a reason code."""

    owner: str
    code: FailureCode


@dataclass(kw_only=True)
class _Message:
    """A message and how many parts of it are still at work."""

    request: Any
    parts: int = 1
    stored: bool = True
    begun: bool = False

    def begin(self, process_id: int) -> None:
        """Let `inspect active` and Flower see it."""
        if not self.begun:
            self.begun = True
            self.request.worker_pid = process_id
            state.task_accepted(self.request)
            self.request.send_event("task-started")

    def end(self, *, stored: bool) -> None:
        """Acknowledge after the last part, if every part is stored; otherwise put it back."""
        self.parts -= 1
        self.stored = self.stored and stored
        if self.parts:
            return
        state.task_ready(self.request, successful=self.stored)
        if self.stored:
            self.request.acknowledge()
            self.request.send_event("task-succeeded", result="stored", runtime=0.0)
        else:
            self.request.reject(requeue=True)


def _foreseen(batch: Batch) -> Foreseen | None:
    """What a child may fetch of its next batch; None where all of it is on disks of its own."""
    uris = [
        uri
        for part in batch.parts
        for payload in payloads(part.name, part.args, part.kwargs)
        if isinstance(payload, dict) and isinstance(uri := payload.get("image_uri"), str)
    ]
    remote = tuple(uri for uri in uris if is_remote(uri))
    if not remote:
        return None
    return Foreseen(uris=remote, of_run=any(run_of(str(part.id)) for part in batch.parts))


def _single(part: SimpleRequest, job: int) -> SimpleRequest:
    """The same message, holding one of its jobs only."""
    jobs = part.kwargs.get("jobs") if part.kwargs else None
    if jobs is None and part.args and isinstance(part.args[0], list):
        jobs = part.args[0]
    if isinstance(jobs, list):
        kwargs, args = {"jobs": [jobs[job]]}, ()
    else:
        kwargs, args = part.kwargs, part.args
    return SimpleRequest(
        part.id, part.name, args, kwargs, part.delivery_info, part.hostname, part.ignore_result,
        part.reply_to, part.correlation_id, part.request_dict,
    )  # fmt: skip


def _slices(requests: Collection[Any], size: int) -> Iterator[list[Any]]:
    waiting = iter(requests)
    while batch := list(islice(waiting, size)):
        yield batch
