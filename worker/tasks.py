"""The two tasks of the public contract; each parses, calls one function and returns."""

import time
from collections.abc import Sequence

from celery import signals
from celery_batches import SimpleRequest

from catalog.queues import CHUNK_SIZE_MAX, TAG_CHUNK, TAG_PRODUCT
from worker.app import app
from worker.batches import Crash, SafeBatches, Suspects
from worker.door.calls import payloads
from worker.reserved import NameReservations
from worker.startup import RefuseUnsafeSettings
from worker.tagging.fetch_ahead import Foreseen
from worker.tagging.process import batch_runner
from worker.tagging.sign_of_life import begin_to_beat, cease_to_beat
from worker.tagging.store import StoreUnavailableError

# Here, not in worker.app: only workers load this module, senders do not.
app.steps["worker"].add(RefuseUnsafeSettings)
app.steps["consumer"].add(NameReservations)
signals.worker_process_init.connect(begin_to_beat)
signals.worker_process_shutdown.connect(cease_to_beat)

# A database that is away must not be met with thousands of redeliveries a second.
REQUEUE_PAUSE_S = 1.0


@app.task(base=SafeBatches, name=TAG_PRODUCT, acks_late=True)  # type: ignore[untyped-decorator]
def tag_product(
    requests: list[SimpleRequest],
    alone: bool = False,
    crash: Crash | None = None,
    foreseen: Foreseen | None = None,
) -> Suspects:
    """Tag the products of one batch of messages; return the suspects among them."""
    jobs = [job for request in requests for job in _jobs(request)]
    return [(place, 0) for place in _work(jobs, requests, alone, crash, foreseen)]


@app.task(base=SafeBatches, name=TAG_CHUNK, acks_late=True, messages_max=1)  # type: ignore[untyped-decorator]
def tag_chunk(
    requests: list[SimpleRequest],
    alone: bool = False,
    crash: Crash | None = None,
    foreseen: Foreseen | None = None,
) -> Suspects:
    """Tag the products of one message; return the suspects among them.

    A chunk longer than the contract allows is tagged all the same, in pieces: nothing is lost.
    """
    (request,) = requests
    jobs = _jobs(request)
    suspects: Suspects = []
    for start in range(0, len(jobs), CHUNK_SIZE_MAX):
        piece = jobs[start : start + CHUNK_SIZE_MAX]
        is_last = start + CHUNK_SIZE_MAX >= len(jobs)
        places = _work(piece, [request] * len(piece), alone, crash, foreseen if is_last else None)
        suspects += [(0, start + place) for place in places]
    return suspects


def _work(
    jobs: Sequence[object],
    requests: Sequence[SimpleRequest],
    alone: bool,
    crash: Crash | None,
    foreseen: Foreseen | None,
) -> list[int]:
    """requests: the message of each job."""
    try:
        runner = batch_runner(_queue(requests[0]))
        if crash is not None:
            runner.record_crash(jobs, crash.owner, crash.code)
            return []
        return runner.tag_and_store(
            jobs,
            [str(request.id) for request in requests],
            redelivered=[_redelivered(request) for request in requests],
            alone=alone,
            foreseen=foreseen,
        )
    except StoreUnavailableError:
        time.sleep(REQUEUE_PAUSE_S)  # in the child, where waiting is free
        raise


def _queue(request: SimpleRequest) -> str:
    """Where the message waited, as the door wrote it.

    Not where such a message should: a sender who puts chunks into the ingest queue must not make
    its workers load all that they work with anew for every second batch.
    """
    return str(request.delivery_info["routing_key"])


def _jobs(request: SimpleRequest) -> list[object]:
    """The payloads of a message, which the door has let in: see worker/door/admission.py."""
    return payloads(request.name, request.args, request.kwargs)


def _redelivered(request: SimpleRequest) -> bool:
    """The broker's word that it has handed the message out before."""
    return bool((request.delivery_info or {}).get("redelivered"))
