"""Accepting products: the ledger first, then the queue."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from catalog.jobs import Job
from catalog.queues import BULK_QUEUE, INGEST_QUEUE
from db.ledger import transitions
from db.ledger.message_ids import new_message_id


def accept(
    session: Session,
    jobs: Sequence[Job],
    now: datetime,
    *,
    queue: str = INGEST_QUEUE,
    message_id: str | None = None,
) -> dict[str, str]:
    """Write every job's product as queued; return each product's message id.

    To be called before the jobs are published, each under its message id, so that a lost message
    is seen to be missing. With `message_id`, all travel in one message. A product that a person
    reviewed stays reviewed as long as its picture's address is the same.
    """
    latest = {job.product_id: job for job in jobs}
    message_ids = {each: message_id or new_message_id() for each in latest}
    rows = [accepted_row(job, message_ids[product_id], queue) for product_id, job in latest.items()]
    transitions.accept(session, rows, now)
    return message_ids


def accept_for_upkeep(
    session: Session, jobs: Sequence[Job], now: datetime, *, queue: str, chunk_size: int
) -> None:
    """Write every job's product as queued and due.

    For doors that have no broker at hand: nothing is published here. The upkeep finds what is due
    within a second and publishes it under the ids that stand in the rows, on the bulk queue
    `chunk_size` together.
    """
    products = list({job.product_id: job for job in jobs}.values())
    size = chunk_size if queue == BULK_QUEUE else 1
    rows: list[Mapping[str, object]] = []
    for start in range(0, len(products), size):
        message_id = new_message_id()
        rows += [accepted_row(job, message_id, queue) for job in products[start : start + size]]
    transitions.accept(session, rows, now, published=False)


def replay(
    session: Session, jobs: Sequence[Job], suspects: Sequence[str], now: datetime
) -> dict[str, str]:
    """Accept failed products again; return each one's message id. `suspects` will run alone."""
    message_ids = {job.product_id: new_message_id() for job in jobs}
    rows = [accepted_row(job, message_ids[job.product_id], INGEST_QUEUE) for job in jobs]
    transitions.replay(session, rows, suspects, now)
    return message_ids


def accepted_row(job: Job, message_id: str, queue: str) -> Mapping[str, object]:
    """What accept() needs to know of a job."""
    return {
        "id": job.product_id,
        "image_uri": job.image_uri,
        "declared_label": job.declared_label,
        "message_id": message_id,
        "queue": queue,
    }
