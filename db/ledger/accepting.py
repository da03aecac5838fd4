"""The ledger of products: what was accepted, and where it stands."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, case, or_
from sqlalchemy.orm import Session

from catalog.jobs import INGEST_QUEUE, Job
from catalog.status import ProductStatus
from db.ledger.models import Product
from db.upsert import insert_many

# Message ids that begin so were written to the ledger before they were published: one that the
# ledger no longer names was superseded by a later acceptance.
ACCEPTED = "accepted-"


def new_message_id() -> str:
    """An id for one acceptance and for its message."""
    return ACCEPTED + uuid4().hex


def accept(
    session: Session,
    jobs: Sequence[Job],
    now: datetime,
    *,
    queue: str = INGEST_QUEUE,
    message_id: str | None = None,
) -> dict[str, str]:
    """Write every job's product as queued; return each product's message id.

    To be called before the jobs are published, each under its message id, so that a
    lost message is seen to be missing. With `message_id`, all travel in one message. A product
    that a person reviewed stays reviewed as long as its picture's address is the same.
    """
    if not jobs:
        return {}
    latest = {job.product_id: job for job in jobs}
    message_ids = {each: message_id or new_message_id() for each in latest}
    rows = [
        _row(job, now)
        | {"message_id": message_ids[product_id], "queue": queue, "published_at": now}
        for product_id, job in sorted(latest.items())
    ]
    statement, parameters = insert_many(session, Product, rows)
    new = statement.excluded
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[Product.id],
            set_={
                "image_uri": new.image_uri,
                "declared_label": new.declared_label,
                "status": status_beside_review(new),
                "message_id": new.message_id,
                "queue": new.queue,
                "published_at": new.published_at,
                "attempts": 0,
                "attempt_by": None,
                "attempt_started_at": None,
                "crashes": 0,
                "last_reason_code": None,
                "next_attempt_at": None,
                "queued_at": new.queued_at,
                "updated_at": new.updated_at,
            },
        ),
        parameters,
    )
    return message_ids


def status_beside_review(new: Any) -> ColumnElement[str]:
    """The new row's status; a review of the same picture stays: people win."""
    reviewed = (Product.status == ProductStatus.REVIEWED) & (Product.image_uri == new.image_uri)
    return case((reviewed, Product.status), else_=new.status)


def ensure_rows(session: Session, jobs: Sequence[Job], now: datetime) -> None:
    """Make sure that every job's product has a row: plain Celery publishes without one.

    A row that is there changes only if the message brings another address or declared label.
    """
    if not jobs:
        return
    latest = {job.product_id: job for job in jobs}
    rows = [_row(job, now) for _, job in sorted(latest.items())]
    statement, parameters = insert_many(session, Product, rows)
    new = statement.excluded
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[Product.id],
            set_={
                "image_uri": new.image_uri,
                "declared_label": new.declared_label,
                "updated_at": new.updated_at,
            },
            where=or_(
                Product.image_uri != new.image_uri,
                Product.declared_label.is_distinct_from(new.declared_label),
            ),
        ),
        parameters,
    )


def _row(job: Job, now: datetime) -> dict[str, object]:
    return {
        "id": job.product_id,
        "image_uri": job.image_uri,
        "declared_label": job.declared_label,
        "status": ProductStatus.QUEUED,
        "attempts": 0,
        "created_at": now,
        "queued_at": now,
        "updated_at": now,
    }
