"""Writing events: in the transaction of what happened, so that both are stored or neither is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from catalog.events import EventKind
from db.events.models import NUMBERED, EventCursor, EventRow
from db.upsert import insert_many


@dataclass(frozen=True, kw_only=True)
class NewEvent:
    """Something that happened; db/events/fields.py says what a payload may hold."""

    kind: EventKind
    product_id: str | None
    payload: Mapping[str, Any] = field(default_factory=dict)


def write(session: Session, events: Sequence[NewEvent], now: datetime) -> None:
    """Add events to the outbox; the caller holds the locks of their products, and commits.

    These locks are what keeps a product's events in order: until the caller commits, nobody else
    writes one of the same product.
    """
    if not events:
        return
    rows = [
        {
            "number": number,
            "at": now,
            "kind": each.kind.value,
            "product_id": each.product_id,
            "payload": dict(each.payload),
        }
        for each, number in zip(events, _numbers(session, len(events)), strict=True)
    ]
    statement, parameters = insert_many(session, EventRow, rows)
    session.execute(statement, parameters)


def _numbers(session: Session, count: int) -> Sequence[int | None]:
    """SQLite has one writer at a time, so that its numbers are in the order of commits at once.

    On PostgreSQL they are given out once the transaction is committed: see numbering.py.
    """
    if session.get_bind().dialect.name == "postgresql":
        return [None] * count
    session.execute(
        update(EventCursor)
        .where(EventCursor.name == NUMBERED)
        .values(number=EventCursor.number + count)
        .execution_options(synchronize_session=False)
    )
    last = session.scalars(select(EventCursor.number).where(EventCursor.name == NUMBERED)).one()
    return range(last - count + 1, last + 1)
