"""Deleting what nobody will look at again: old thumbnails, and old taggings without a role.

Both walk their table by its key in bounded pages, each of which is a transaction of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, delete, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from catalog.status import ProductStatus
from db.ledger.models import Product, Tagging, Thumbnail
from db.retag.conditions import unindexed
from db.review.models import Review, ReviewItem

PAGE_SIZE = 250
SETTLED = (ProductStatus.TAGGED, ProductStatus.NEEDS_REVIEW, ProductStatus.REVIEWED,
           ProductStatus.FAILED)  # fmt: skip
SHOWN = (ProductStatus.NEEDS_REVIEW, ProductStatus.REVIEWED)


@dataclass(frozen=True, kw_only=True)
class PrunePage:
    """What one page held; cursor is the last id that was looked at."""

    cursor: int
    looked: int
    tagging_ids: Sequence[int]  # whose thumbnail, or which themselves, may go


def thumbnails_page(session: Session, cursor: int, before: datetime) -> PrunePage:
    """The next thumbnails that nobody needs: of superseded or accepted taggings, that old.

    What waits for a person or was judged by one keeps its pictures: the desk shows them, and
    corrections are exported with them.
    """
    ids = _next_ids(session, Thumbnail.tagging_id, cursor)
    superseded = Product.current_tagging_id.is_distinct_from(Tagging.id)
    return _page(
        session, cursor, ids, before, or_(superseded, unindexed(Product.status).not_in(SHOWN))
    )


def taggings_page(session: Session, cursor: int, before: datetime) -> PrunePage:
    """The next taggings that are that old, not current, and were never judged by a person."""
    ids = _next_ids(session, Tagging.id, cursor)
    superseded = Product.current_tagging_id.is_distinct_from(Tagging.id)
    return _page(session, cursor, ids, before, superseded)


def delete_thumbnails(session: Session, tagging_ids: Sequence[int]) -> int:
    """Delete the thumbnails of these taggings; return their bytes."""
    size = func.length(Thumbnail.overlay_jpeg) + func.length(Thumbnail.class_map)
    mine = Thumbnail.tagging_id.in_(tagging_ids)
    freed = session.scalar(select(func.sum(size + func.length(Thumbnail.embedding))).where(mine))
    session.execute(delete(Thumbnail).where(mine))
    return int(freed or 0)


def delete_taggings(session: Session, tagging_ids: Sequence[int]) -> int:
    """Delete taggings with their thumbnails; return the bytes of the thumbnails."""
    freed = delete_thumbnails(session, tagging_ids)
    session.execute(delete(Tagging).where(Tagging.id.in_(tagging_ids)))
    return freed


def _next_ids(session: Session, key: InstrumentedAttribute[int], cursor: int) -> Sequence[int]:
    return session.scalars(select(key).where(key > cursor).order_by(key).limit(PAGE_SIZE)).all()


def _judged() -> ColumnElement[bool]:
    """Reviews refer to the tagging they judged, and the queue to the one it shows."""
    review = select(Review.id).where(Review.tagging_id == Tagging.id).limit(1)
    item = select(ReviewItem.product_id).where(ReviewItem.tagging_id == Tagging.id)
    return or_(review.scalar_subquery().is_not(None), item.scalar_subquery().is_not(None))


def _page(
    session: Session,
    cursor: int,
    ids: Sequence[int],
    before: datetime,
    wanted: ColumnElement[bool],
) -> PrunePage:
    if not ids:
        return PrunePage(cursor=cursor, looked=0, tagging_ids=())
    found = (
        select(Tagging.id)
        .join(Product, Product.id == Tagging.product_id)
        .where(Tagging.id.in_(ids), Tagging.tagged_at < before, wanted, ~_judged())
        # A worker that tags the same picture with the same model again makes the old tagging
        # current: what is on its way is left alone, and waits while these rows are locked.
        .where(unindexed(Product.published_at).is_(None), unindexed(Product.status).in_(SETTLED))
        .order_by(Product.id)
        .with_for_update(of=Product)
    )
    return PrunePage(
        cursor=ids[-1], looked=len(ids), tagging_ids=sorted(session.scalars(found).all())
    )
