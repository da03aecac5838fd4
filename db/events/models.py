"""The outbox: what happened to products, and how far those who read it have come."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, BigId, partial_index

# The cursor that holds the last number given out.
NUMBERED = "numbered"


class EventRow(Base):
    """What happened, written in the transaction in which it did.

    Readers go by `number` and never see a row without one: see db/events/numbering.py.
    """

    __tablename__ = "events"
    __table_args__ = (partial_index("ix_events_without_number", "id", where="number IS NULL"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)  # in the order of writing
    number: Mapped[int | None] = mapped_column(BigInteger, unique=True, index=True)
    at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(String(16))  # EventKind
    # No foreign key: an event outlives its product. None: it is of no single product.
    product_id: Mapped[str | None] = mapped_column(String(128))
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)


class EventCursor(Base):
    """The number of the last event that a reader has passed on, by the reader's name."""

    __tablename__ = "event_cursors"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)
    moved_at: Mapped[datetime | None]
