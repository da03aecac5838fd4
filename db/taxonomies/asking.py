"""Asking people again about what they called a category that was split or removed."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.status import ProductStatus
from db.events.standing import of_standing
from db.events.writing import write
from db.ledger import transitions
from db.ledger.models import Product, Tagging
from db.review import queue as review_queue
from db.review.models import ReviewItem, WaitsFor

PAGE = 1000


def ask_again(session: Session, labels: Sequence[str], now: datetime) -> int:
    """Reopen every product that a person called one of these; how many.

    What was decided stays in the audit, and is no longer an opinion on the item.
    """
    asked, last = 0, ""
    while labels:
        products = session.scalars(
            select(Product)
            .where(Product.id > last, Product.status == ProductStatus.REVIEWED)
            .where(Product.reviewed_label.in_(labels))
            .order_by(Product.id)
            .limit(PAGE)
            .with_for_update()
        ).all()
        if not products:
            break
        last = products[-1].id
        ids = [each.id for each in products]
        items = session.scalars(select(ReviewItem).where(ReviewItem.product_id.in_(ids)))
        for item in items:
            item.waits_for, item.round = WaitsFor.REVIEWER, 1
            item.version += 1
            item.leased_by = item.leased_until = None
        said = {each.id: each.reviewed_label for each in products}
        for product in products:
            transitions.review(product, None, now)
        session.flush()
        taggings = session.scalars(
            select(Tagging)
            .join(Product, Product.current_tagging_id == Tagging.id)
            .where(Product.id.in_(ids))
            .order_by(Product.id)
        )
        events = [of_standing(each, said[each.product_id], open_=True) for each in taggings]
        write(session, events, now)
        review_queue.refresh(session, ids)
        asked += len(ids)
    return asked
