"""Reading the queue: pages, single items, counts, and what has been decided."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, case, func, select
from sqlalchemy.orm import Session

from catalog.taxonomy.model import Taxonomy
from db.ledger.models import Model, Product, Tagging
from db.ledger.taxonomies import taxonomy_of, taxonomy_to_judge_by
from db.review.filters import Order, QueueFilter, after, cursor_of, ordered
from db.review.models import Review, Reviewer, ReviewItem, WaitsFor
from db.taxonomies.moves import Moves, moves_of_models, now_called


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One item of the queue with all that is said of it; confidences by label, best first.

    taxonomy: what the model's labels are of. to_judge_by: what people may say. label, and those of
    the confidences, are the model's as they are called there; one that is gone stays what it was.
    """

    item: ReviewItem
    tagging: Tagging
    product: Product
    label: str
    confidences: Mapping[str, float]
    taxonomy: Taxonomy
    to_judge_by: Taxonomy
    holder: str | None

    @property
    def reasons(self) -> tuple[str, ...]:
        return tuple(self.item.reasons.split())


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page of the queue; the cursor leads to the next one, None at the end."""

    entries: Sequence[Entry]
    next_cursor: str | None


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How much waits, by what; reasons may overlap."""

    open: int
    second: int
    disputes: int
    leased: int
    oldest_at: datetime | None
    by_reason: Mapping[str, int]
    by_label: Mapping[str, int]
    by_model: Mapping[str, int]


def page(
    session: Session,
    now: datetime,
    *,
    wanted: QueueFilter | None = None,
    order: Order = Order.LEAST_CONFIDENT,
    waits_for: WaitsFor = WaitsFor.REVIEWER,
    cursor: str | None = None,
    limit: int = 50,
) -> Page:
    """One page by keyset: what is inserted or decided in between neither skips nor repeats a row.

    Raises:
        CursorError: the cursor is none of this order.
    """
    conditions = (wanted or QueueFilter()).conditions(session)
    statement = _entries(now).where(ReviewItem.waits_for == waits_for, *conditions)
    if cursor is not None:
        statement = statement.where(after(cursor, order))
    rows = session.execute(ordered(statement, order).limit(limit + 1)).all()
    entries = _entries_of(session, rows[:limit])
    more = len(rows) > limit
    return Page(entries=entries, next_cursor=cursor_of(entries[-1].item, order) if more else None)


def entries(session: Session, tagging_ids: Sequence[int], now: datetime) -> list[Entry]:
    """These items, in this order; ids that are not in the queue are left out."""
    rows = session.execute(_entries(now).where(ReviewItem.tagging_id.in_(tagging_ids))).all()
    found = {entry.item.tagging_id: entry for entry in _entries_of(session, rows)}
    return [found[tagging_id] for tagging_id in tagging_ids if tagging_id in found]


def entry_of_product(session: Session, product_id: str, now: datetime) -> Entry | None:
    """The item of a product, whatever became of it."""
    rows = session.execute(_entries(now).where(ReviewItem.product_id == product_id)).all()
    return _entries_of(session, rows)[0] if rows else None


def counts(session: Session, now: datetime, *, wanted: QueueFilter | None = None) -> Counts:
    """Count what waits for a person and fits the filter."""
    conditions = (wanted or QueueFilter()).conditions(session)
    open_ = (ReviewItem.waits_for == WaitsFor.REVIEWER, *conditions)
    columns = (ReviewItem.reasons, ReviewItem.label, ReviewItem.model_version)
    groups = session.execute(
        select(
            *columns,
            func.count(),
            func.sum(case((ReviewItem.round == 2, 1), else_=0)),
            func.min(ReviewItem.tagged_at),
        )
        .where(*open_)
        .group_by(*columns)
    ).all()
    count = select(func.count()).select_from(ReviewItem)
    leased = count.where(ReviewItem.leased_until >= now, ReviewItem.leased_by.is_not(None), *open_)
    disputes = count.where(ReviewItem.waits_for == WaitsFor.LEAD, *conditions)
    by_reason: Counter[str] = Counter()
    by_label: Counter[str] = Counter()
    by_model: Counter[str] = Counter()
    for reasons, label, model_version, number, _, _ in groups:
        by_reason.update(dict.fromkeys(reasons.split(), number))
        by_label[label] += number
        by_model[model_version] += number
    return Counts(
        open=sum(by_label.values()),
        second=sum(int(group[4] or 0) for group in groups),
        disputes=session.scalar(disputes) or 0,
        leased=session.scalar(leased) or 0,
        oldest_at=min((group[5] for group in groups), default=None),
        by_reason=dict(by_reason.most_common()),
        by_label=dict(by_label.most_common()),
        by_model=dict(by_model.most_common()),
    )


def waiting(session: Session, *, wanted: QueueFilter | None = None) -> int:
    """How many items wait for any reviewer and fit the filter."""
    conditions = (wanted or QueueFilter()).conditions(session)
    statement = select(func.count()).select_from(ReviewItem)
    return (
        session.scalar(statement.where(ReviewItem.waits_for == WaitsFor.REVIEWER, *conditions)) or 0
    )


def reviews_of(session: Session, tagging_id: int) -> Sequence[tuple[Review, str]]:
    """The audit of one tagging with the reviewers' names, oldest first."""
    statement = (
        select(Review, Reviewer.name)
        .join(Reviewer, Reviewer.id == Review.reviewer_id)
        .where(Review.tagging_id == tagging_id)
        .order_by(Review.id)
    )
    return [(row[0], row[1]) for row in session.execute(statement)]


def reviews(
    session: Session, *, before: int | None = None, reviewer_id: int | None = None, limit: int = 50
) -> Sequence[tuple[Review, str]]:
    """The audit, newest first; `before` is the last id of the page before."""
    statement = select(Review, Reviewer.name).join(Reviewer, Reviewer.id == Review.reviewer_id)
    if before is not None:
        statement = statement.where(Review.id < before)
    if reviewer_id is not None:
        statement = statement.where(Review.reviewer_id == reviewer_id)
    rows = session.execute(statement.order_by(Review.id.desc()).limit(limit))
    return [(row[0], row[1]) for row in rows]


def _entries(now: datetime) -> Select[ReviewItem, Tagging, Product, list[str], str | None]:
    return (
        select(ReviewItem, Tagging, Product, Model.labels, Reviewer.name)
        .join(Tagging, Tagging.id == ReviewItem.tagging_id)
        .join(Product, Product.id == ReviewItem.product_id)
        .join(Model, Model.version == Tagging.model_version)
        .outerjoin(
            Reviewer, (Reviewer.id == ReviewItem.leased_by) & (ReviewItem.leased_until >= now)
        )
    )


def _entries_of(session: Session, rows: Sequence[Any]) -> list[Entry]:
    """Entries of rows; what belongs to a model is read once."""
    versions = sorted({row[1].model_version for row in rows})
    moved = moves_of_models(session, versions)
    meant = {
        version: _Meant(
            taxonomy=taxonomy_of(session, version),
            to_judge_by=taxonomy_to_judge_by(session, version),
            moves=moved[version],
        )
        for version in versions
    }
    return [_entry(row, meant[row[1].model_version]) for row in rows]


@dataclass(frozen=True, kw_only=True)
class _Meant:
    """What a model's labels mean, and what they are called now."""

    taxonomy: Taxonomy
    to_judge_by: Taxonomy
    moves: Moves

    def called(self, label: str) -> str:
        return now_called(self.moves, label) or label


def _entry(row: Any, meant: _Meant) -> Entry:
    item, tagging, product, labels, holder = row
    shares: Counter[str] = Counter()
    for label, confidence in zip(labels, tagging.confidences, strict=True):
        shares[meant.called(label)] += confidence  # of labels that were merged, all
    return Entry(
        item=item,
        tagging=tagging,
        product=product,
        label=meant.called(tagging.label),
        confidences=dict(shares.most_common()),
        taxonomy=meant.taxonomy,
        to_judge_by=meant.to_judge_by,
        holder=holder,
    )
