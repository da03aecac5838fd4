"""Removing a product: all that was known of it but what the audit needs."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, delete, func, select
from sqlalchemy.orm import Session

from catalog.events import EventKind
from catalog.status import ProductStatus
from db.events.writing import NewEvent, write
from db.ledger import transitions
from db.ledger.message_ids import new_message_id
from db.ledger.models import FailureRow, Tagging, Thumbnail
from db.ledger.product_rows import lock
from db.registry.models import ShadowTagging
from db.review.models import Review, ReviewItem


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What stays of a removed product beside its row: rows of the audit, and what they judged."""

    reviews: int
    taggings: int


def remove(session: Session, product_id: str, now: datetime) -> Kept | None:
    """Remove a product, whatever it is at; None: the ledger does not know it.

    Its row stays, under an acceptance of its own that is settled: messages, attempts and outcomes
    of any other are superseded by it, and so cannot bring the product back.
    """
    if not lock(session, [product_id]):
        return None
    for table in (ReviewItem, ShadowTagging, FailureRow):
        session.execute(delete(table).where(table.product_id == product_id))
    mine = select(Tagging.id).where(Tagging.product_id == product_id)
    session.execute(delete(Thumbnail).where(Thumbnail.tagging_id.in_(mine)))
    judged = select(Review.tagging_id).where(Review.product_id == product_id)
    unjudged = Tagging.id.not_in(judged)
    session.execute(delete(Tagging).where(Tagging.product_id == product_id, unjudged))
    if transitions.remove(session, product_id, new_message_id(), now):
        gone = {"state": ProductStatus.REMOVED.value}
        event = NewEvent(kind=EventKind.REMOVED, product_id=product_id, payload=gone)
        write(session, [event], now)
    return Kept(
        reviews=_count(session, select(Review.id).where(Review.product_id == product_id)),
        taggings=_count(session, mine),
    )


def _count(session: Session, rows: Select[int]) -> int:
    return session.scalar(select(func.count()).select_from(rows.subquery())) or 0
