"""Taking items of the queue: nobody holds what somebody else holds.

A lease stands in the item's own row. PostgreSQL lets many claims run at once, each passing over
the rows that another is just taking (SKIP LOCKED); SQLite runs one write after the other.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, or_, select, update
from sqlalchemy.orm import Session

from catalog.status import ProductStatus
from db.ledger.models import Product, Tagging
from db.review.filters import Order, QueueFilter, ordered
from db.review.look_alikes import Likeness, Look
from db.review.models import Action, Review, Reviewer, ReviewItem, Role, WaitsFor

LEASE = timedelta(minutes=10)
CLAIM_SIZE = 10
ALIKE_CANDIDATES = 1500
ALIKE_NEAR = 300  # of the candidates those whose confidences are compared, too


def claim(
    session: Session,
    reviewer: Reviewer,
    now: datetime,
    *,
    wanted: QueueFilter | None = None,
    order: Order = Order.LEAST_CONFIDENT,
    limit: int = CLAIM_SIZE,
    keep: Sequence[int] = (),
) -> list[int]:
    """Fill the reviewer's hands up to `limit` items; their tagging ids, in order.

    What the reviewer holds already and still fits the filter is renewed and counts; the rest of
    it goes back. Items that the reviewer skipped come again only when nothing else is left, and
    a second opinion is never asked of the person who gave the first. What they work on elsewhere,
    `keep`, neither goes back nor counts.
    """
    conditions = (wanted or QueueFilter()).conditions(session)
    here = _held(session, reviewer, now, conditions, order)
    held = [each for each in here if each not in set(keep)][:limit]
    release(session, reviewer, keep=[*held, *keep])
    renew(session, reviewer, held, now)
    found = list(held)
    for waits_for in _queues_of(reviewer):
        for skipped in (False, True):
            if len(found) < limit:
                free = _free(reviewer, now, waits_for, skipped=skipped).where(*conditions)
                found += _take(session, reviewer, ordered(free, order), now, limit - len(found))
    return found


def claim_alike(
    session: Session,
    reviewer: Reviewer,
    now: datetime,
    *,
    wanted: QueueFilter | None = None,
    order: Order = Order.LEAST_CONFIDENT,
    limit: int,
    keep: Sequence[int] = (),
) -> list[int]:
    """Take the next item and the free items that look most like it.

    Only what the same network of the same model saw is compared: embeddings of two networks have
    nothing to do with each other, even if they are as long. Where it is known from which likeness
    on its pictures show one category, what is nearer is taken, whatever it is called but for labels
    of which that could not be measured (db/review/look_alikes.py); otherwise what has the same
    label. What the reviewer holds goes back, but for what they work on elsewhere, `keep`.
    """
    release(session, reviewer, keep=keep)
    conditions = (wanted or QueueFilter()).conditions(session)
    free = _free(reviewer, now, WaitsFor.REVIEWER, skipped=False).where(*conditions)
    found = _take(session, reviewer, ordered(free, order), now, 1)
    if not found:
        return []
    first = session.scalars(select(ReviewItem).where(ReviewItem.tagging_id == found[0])).one()
    network = session.scalars(
        select(Tagging.network).where(Tagging.id == first.tagging_id)
    ).one_or_none()
    same = free.where(
        ReviewItem.model_version == first.model_version,
        select(Tagging.network).where(Tagging.id == ReviewItem.tagging_id).scalar_subquery()
        == network,
    )
    likeness, look = Likeness.of(session, first.model_version, network), Look.of(first)
    label = likeness.label_wanted(look)
    if label is not None:
        same = same.where(ReviewItem.label == label)
    columns = (
        ReviewItem.tagging_id,
        ReviewItem.embedding,
        ReviewItem.label,
    )
    candidates = session.execute(
        ordered(same.with_only_columns(*columns), order).limit(ALIKE_CANDIDATES)
    ).all()
    near = likeness.nearest(look, [Look.of(each) for each in candidates])[:ALIKE_NEAR]
    alike = likeness.agreeing(session, look, near)
    chosen = free.where(ReviewItem.tagging_id.in_(alike[: limit - 1]))
    taken = set(_take(session, reviewer, chosen, now, limit - 1))
    return found + [tagging_id for tagging_id in alike if tagging_id in taken]


def claim_one(session: Session, reviewer: Reviewer, tagging_id: int, now: datetime) -> bool:
    """Take one item by name, whatever its place; False if it is not to be had."""
    for waits_for in _queues_of(reviewer):
        free = _free(reviewer, now, waits_for, skipped=True, mine=True)
        if _take(session, reviewer, free.where(ReviewItem.tagging_id == tagging_id), now, 1):
            return True
    return False


def renew(
    session: Session, reviewer: Reviewer, tagging_ids: Sequence[int], now: datetime
) -> list[int]:
    """Hold these for another ten minutes; the ids still held. One that expired is lost."""
    if not tagging_ids:
        return []
    return list(
        session.scalars(
            update(ReviewItem)
            .where(_held_by(reviewer, now), ReviewItem.tagging_id.in_(tagging_ids))
            .values(leased_until=now + LEASE)
            .returning(ReviewItem.tagging_id)
        )
    )


def release(session: Session, reviewer: Reviewer, *, keep: Sequence[int] = ()) -> None:
    """Give back everything that the reviewer holds but `keep`."""
    session.execute(
        update(ReviewItem)
        .where(ReviewItem.leased_by == reviewer.id, ReviewItem.tagging_id.not_in(keep))
        .values(leased_by=None, leased_until=None)
    )


def _queues_of(reviewer: Reviewer) -> tuple[WaitsFor, ...]:
    """Leads settle disputes first."""
    lead = reviewer.role == Role.LEAD
    return (WaitsFor.LEAD, WaitsFor.REVIEWER) if lead else (WaitsFor.REVIEWER,)


def _held_by(reviewer: Reviewer, now: datetime) -> ColumnElement[bool]:
    return and_(ReviewItem.leased_by == reviewer.id, ReviewItem.leased_until >= now)


def _held(
    session: Session,
    reviewer: Reviewer,
    now: datetime,
    conditions: list[ColumnElement[bool]],
    order: Order,
) -> list[int]:
    # Nothing is said of waits_for: SQLite would then scan the whole queue for its order.
    statement = select(ReviewItem.tagging_id).where(_held_by(reviewer, now), *conditions)
    return list(session.scalars(ordered(statement, order)))


def _free(
    reviewer: Reviewer, now: datetime, waits_for: WaitsFor, *, skipped: bool, mine: bool = False
) -> Select[Any]:
    """The items that the reviewer may take."""
    said = exists().where(
        Review.tagging_id == ReviewItem.tagging_id, Review.reviewer_id == reviewer.id
    )
    free = or_(ReviewItem.leased_by.is_(None), ReviewItem.leased_until < now)
    # A product that is queued anew waits for its machine first. Asked row by row, in the order of
    # the queue's index: PostgreSQL takes a join on two columns for so rare that it would join and
    # sort the whole queue for its first row.
    stands = select(
        Product.status.in_((ProductStatus.NEEDS_REVIEW, ProductStatus.REVIEWED))
        & (Product.current_tagging_id == ReviewItem.tagging_id)
    ).where(Product.id == ReviewItem.product_id)
    statement = (
        select(ReviewItem.tagging_id)
        .where(ReviewItem.waits_for == waits_for)
        .where(or_(free, ReviewItem.leased_by == reviewer.id) if mine else free)
        .where(stands.scalar_subquery())
    )
    if waits_for is WaitsFor.REVIEWER:
        judged = said.where(Review.action.not_in((Action.SKIP, Action.UNDO)))
        statement = statement.where(or_(ReviewItem.round == 1, ~judged))
    if not skipped:
        statement = statement.where(~said.where(Review.action == Action.SKIP))
    return statement


def _take(
    session: Session, reviewer: Reviewer, free: Select[Any], now: datetime, limit: int
) -> list[int]:
    """Lease the first rows of `free`, whose order is kept; a new version makes old pages stale.

    Two people who ask at once get different items: a row that another claim has locked is passed
    over, and one that it has just let go, leased now, is judged by `free` once more as it is, and
    is not free. The products are not locked: one that is queued anew meanwhile is still handed out,
    and the decision on it is refused, as it is for a lease that has run out since
    (db/review/decisions.py, under the product's lock).
    """
    found = session.scalars(
        free.limit(limit).with_for_update(of=ReviewItem, skip_locked=True)
    ).all()
    if found:
        session.execute(
            update(ReviewItem)
            .where(ReviewItem.tagging_id.in_(found))
            .values(leased_by=reviewer.id, leased_until=now + LEASE, version=ReviewItem.version + 1)
        )
    return list(found)
