"""Finding what is owed and not in the queue, and claiming it.

Several reconcilers may run at once: a claim is one UPDATE … RETURNING that moves the row out of
every other's sight.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from catalog.jobs import Job
from db.base import EPOCH
from db.ledger import transitions
from db.ledger.models import Product

# A stamp further ahead than this was made by a clock that has been set back since.
CLOCK_SLACK = timedelta(seconds=60)


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """A product to publish again, under the same message id as before."""

    job: Job
    message_id: str
    queue: str


def claim_due(session: Session, now: datetime, *, limit: int, retry_s_max: float) -> list[Claimed]:
    """Claim products whose next attempt is due, the longest due first."""
    ahead = now + timedelta(seconds=retry_s_max)
    due = or_(Product.next_attempt_at <= now, Product.next_attempt_at > ahead)
    return _claim(session, due, Product.next_attempt_at, now, limit)


def is_due(session: Session, now: datetime) -> bool:
    """Whether a product's next attempt is due; takes no lock."""
    due = select(Product.id).where(Product.next_attempt_at <= now).limit(1)
    return session.scalar(due) is not None


def claim_lost(
    session: Session,
    now: datetime,
    queue: str,
    *,
    published_before: datetime,
    attempt_s_max: float,
    limit: int,
) -> list[Claimed]:
    """Claim products of a queue that were published before that instant and have no outcome.

    Those that a living child may be at work on are left alone; those whose attempt has outlived
    its time limit died with their process, and are counted so.
    """
    oldest = now - timedelta(seconds=attempt_s_max)
    idle = or_(
        Product.attempt_by.is_(None),
        Product.attempt_started_at <= oldest,
        Product.attempt_started_at > now + CLOCK_SLACK,
    )
    overdue = or_(Product.published_at < published_before, Product.published_at > now + CLOCK_SLACK)
    mine = and_(Product.queue == queue, overdue, idle)
    return _claim(session, mine, Product.published_at, now, limit)


def claim_abandoned(session: Session, now: datetime, worker: str, *, limit: int) -> list[Claimed]:
    """Claim products that children of this worker were at when it died.

    They are counted as ended with their process. What has a message on its way is looked at only,
    which has an index.
    """
    its = Product.attempt_by.startswith(f"{worker}:", autoescape=True)
    on_its_way = Product.published_at > EPOCH
    return _claim(session, and_(on_its_way, its), Product.published_at, now, limit)


def _claim(
    session: Session, wanted: ColumnElement[bool], order: Any, now: datetime, limit: int
) -> list[Claimed]:
    found = transitions.republish(session, wanted, order, now, limit)
    return [
        Claimed(
            job=Job.model_construct(product_id=id_, image_uri=uri, declared_label=label),
            message_id=message_id,
            queue=queue,
        )
        for id_, uri, label, message_id, queue in found
    ]


def published_at(session: Session, product_ids: Sequence[str]) -> dict[str, datetime]:
    """When these products' messages were last published; settled and unknown ones are left out."""
    found = session.execute(
        select(Product.id, Product.published_at).where(
            Product.id.in_(product_ids), Product.published_at.is_not(None)
        )
    )
    return {product_id: instant for product_id, instant in found if instant is not None}
