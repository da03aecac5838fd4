"""Narrowing and ordering the queue, and the cursor of its pages."""

import base64
import binascii
import json
import math
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy import BigInteger, ColumnElement, Select, literal, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from catalog.outcomes import FlagReason
from db.ledger.taxonomies import taxonomy_in_force
from db.review.models import ReviewItem

Statement = TypeVar("Statement", bound="Select[*tuple[Any, ...]]")


class Order(StrEnum):
    """In which order items are handed out."""

    LEAST_CONFIDENT = "least_confident"
    OLDEST = "oldest"
    MOST_VALUABLE = "most_valuable"  # disagreement and diversity: see db/review/value.py


class CursorError(ValueError):
    """A cursor that no page of this order gave out."""


@dataclass(frozen=True, kw_only=True)
class QueueFilter:
    """What an item must be like; None leaves a field open. The upper bounds are exclusive.

    label: the machine's, by id, name or alias; of a parent, any that is below it.
    """

    reason: FlagReason | None = None
    label: str | None = None
    confidence_min: float | None = None
    confidence_max: float | None = None
    model_version: str | None = None
    declared_label: str | None = None
    tagged_from: datetime | None = None
    tagged_until: datetime | None = None
    product_id: str | None = None

    def conditions(self, session: Session) -> list[ColumnElement[bool]]:
        """The same in SQL."""
        equal = {
            ReviewItem.model_version: self.model_version,
            ReviewItem.declared_label: self.declared_label,
            ReviewItem.product_id: self.product_id,
        }
        found = [column == value for column, value in equal.items() if value is not None]
        if self.label is not None:
            found.append(ReviewItem.label.in_(labels_meant(session, self.label)))
        if self.reason is not None:
            found.append(ReviewItem.reasons.contains(f" {self.reason} ", autoescape=True))
        if self.confidence_min is not None:
            found.append(ReviewItem.confidence >= self.confidence_min)
        if self.confidence_max is not None:
            found.append(ReviewItem.confidence < self.confidence_max)
        if self.tagged_from is not None:
            found.append(ReviewItem.tagged_at >= self.tagged_from)
        if self.tagged_until is not None:
            found.append(ReviewItem.tagged_at < self.tagged_until)
        return found


def labels_meant(session: Session, text: str) -> tuple[str, ...]:
    """The labels that a category's or a parent's id, name or alias means in the taxonomy in force.

    What it does not know may be a label of an earlier one, and means itself.
    """
    taxonomy = taxonomy_in_force(session)
    found = taxonomy.find(text)
    return (text,) if found is None else taxonomy.below(found)


_COLUMNS: dict[Order, tuple[InstrumentedAttribute[Any], bool]] = {
    Order.LEAST_CONFIDENT: (ReviewItem.confidence, False),
    Order.OLDEST: (ReviewItem.tagged_at, False),
    Order.MOST_VALUABLE: (ReviewItem.value, True),
}


def ordered(statement: Statement, order: Order) -> Statement:
    """Sort by the order's column; the tagging's id decides between equals."""
    column, descending = _COLUMNS[order]
    if descending:
        return statement.order_by(column.desc(), ReviewItem.tagging_id.desc())
    return statement.order_by(column, ReviewItem.tagging_id)


def after(cursor: str, order: Order) -> ColumnElement[bool]:
    """What comes behind a cursor in this order.

    Raises:
        CursorError: no such cursor was given out.
    """
    column, descending = _COLUMNS[order]
    value, tagging_id = _decode(cursor, order)
    here = tuple_(column, ReviewItem.tagging_id)
    there = tuple_(literal(value, column.type), literal(tagging_id, BigInteger))
    return here < there if descending else here > there


def cursor_of(item: ReviewItem, order: Order) -> str:
    """The place of an item in this order, as opaque text."""
    value = getattr(item, _COLUMNS[order][0].key)
    shown = value.isoformat() if isinstance(value, datetime) else value
    text = json.dumps([order, shown, item.tagging_id])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(cursor: str, order: Order) -> tuple[Any, int]:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
        made_for, value, tagging_id = json.loads(text)
        place = _instant(value) if order is Order.OLDEST else _number(value)
        if made_for == order and type(tagging_id) is int and 0 < tagging_id < 2**63:
            return place, tagging_id
    except (binascii.Error, ValueError, TypeError, OverflowError, RecursionError):
        pass
    raise CursorError(
        f"Expected a cursor that a page in the order {order.value} gave, found {cursor[:60]!r}. "
        "Start from the first page."
    )


def _instant(value: str) -> datetime:
    """A time that either database can hold; its offset must not lead out of the calendar."""
    found = datetime.fromisoformat(value)
    if found.tzinfo is None or not 1970 < found.year < 2200:
        raise ValueError("expected a time from 1971 to 2199 with an offset")
    return found


def _number(value: float) -> float:
    """A finite number; integers of any length come out of JSON."""
    if isinstance(value, bool) or not isinstance(value, float | int):
        raise ValueError("expected a number")
    found = float(value)
    if not math.isfinite(found):
        raise ValueError("expected a finite number")
    return found
