"""The ledger of products: what was accepted, and where it stands."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import case, or_
from sqlalchemy.orm import Session

from catalog.jobs import Job
from catalog.status import ProductStatus
from db.models import Product
from db.upsert import insert


def accept(session: Session, jobs: Sequence[Job], now: datetime) -> None:
    """Write every job's product as queued, creating or updating its row.

    To be called before the jobs are published, so that a lost message is seen to be missing. A
    product that a person reviewed stays reviewed as long as its picture's address is the same.
    """
    if not jobs:
        return
    latest = {job.product_id: job for job in jobs}
    statement = insert(session, Product).values([_row(job, now) for job in latest.values()])
    new = statement.excluded
    keeps_review = (Product.status == ProductStatus.REVIEWED) & (Product.image_uri == new.image_uri)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[Product.id],
            set_={
                "image_uri": new.image_uri,
                "declared_label": new.declared_label,
                "status": case((keeps_review, Product.status), else_=new.status),
                "attempts": 0,
                "next_attempt_at": None,
                "queued_at": new.queued_at,
                "updated_at": new.updated_at,
            },
        )
    )


def arrive(session: Session, jobs: Sequence[Job], now: datetime) -> None:
    """Make sure that every job's product has a row: plain Celery publishes without one.

    A row that is there changes only if the message brings another address or declared label.
    """
    if not jobs:
        return
    latest = {job.product_id: job for job in jobs}
    statement = insert(session, Product).values([_row(job, now) for job in latest.values()])
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
        )
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
