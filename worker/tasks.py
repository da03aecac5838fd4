"""The two tasks of the public contract; each parses, calls one function and returns."""

from collections.abc import Iterator
from typing import Any

from celery.exceptions import Reject
from celery_batches import SimpleRequest

from catalog.jobs import CHUNK_SIZE_MAX, TAG_CHUNK, TAG_PRODUCT
from worker.app import app
from worker.batches import STORED, SafeBatches, pause_before_requeue
from worker.child import child
from worker.startup import RefuseUnsafeSettings
from worker.storing import StoreUnavailableError

# Here, not in worker.app: only workers load this module, senders do not.
app.steps["worker"].add(RefuseUnsafeSettings)

POSITIONS = ("product_id", "image_uri", "declared_label")


@app.task(base=SafeBatches, name=TAG_PRODUCT, acks_late=True)  # type: ignore[untyped-decorator]
def tag_product(requests: list[SimpleRequest]) -> str:
    """Tag the products of one batch of messages."""
    try:
        child().tag_and_store([_payload(request) for request in requests])
    except StoreUnavailableError:
        pause_before_requeue()
        raise
    return STORED


@app.task(name=TAG_CHUNK, acks_late=True, reject_on_worker_lost=True)  # type: ignore[untyped-decorator]
def tag_chunk(jobs: Any) -> None:
    """Tag the products of one message.

    A chunk longer than the contract allows is tagged all the same, in pieces: nothing is lost.
    """
    try:
        for piece in _pieces(jobs):
            child().tag_and_store(piece)
    except StoreUnavailableError as error:
        pause_before_requeue()
        raise Reject(error, requeue=True) from error


def _payload(request: SimpleRequest) -> object:
    """The keyword arguments of the message; positional ones are named in the contract's order."""
    if len(request.args) > len(POSITIONS):
        return {"args": list(request.args), **request.kwargs}
    return dict(zip(POSITIONS, request.args, strict=False)) | request.kwargs


def _pieces(jobs: Any) -> Iterator[list[object]]:
    if not isinstance(jobs, list):
        yield [jobs]  # no list of jobs: it fails as one malformed payload, with its reason
        return
    for start in range(0, len(jobs), CHUNK_SIZE_MAX):
        yield jobs[start : start + CHUNK_SIZE_MAX]
