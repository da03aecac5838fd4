"""The table of webhooks: where events are posted to, and how far each receiver has come."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import JSON, BigInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, BigId


class WebhookState(StrEnum):
    ACTIVE = "active"
    PAUSED = "paused"  # by a person
    STOPPED = "stopped"  # by its receiver: it failed for too long, or said that it is gone


class Webhook(Base):
    """A receiver. Its secrets are kept as they are: whoever signs needs them in clear text."""

    __tablename__ = "webhooks"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    url: Mapped[str] = mapped_column(String(2048))
    kinds: Mapped[list[str]] = mapped_column(JSON)  # EventKind; none: all
    secret: Mapped[str] = mapped_column(String(128))
    former_secret: Mapped[str | None] = mapped_column(String(128))
    former_until: Mapped[datetime | None]
    state: Mapped[str] = mapped_column(String(8))
    # Why it does not go on, or what the last attempt found.
    reason: Mapped[str | None] = mapped_column(String(500))
    # The number of the last event that was taken, or passed over as of another kind.
    cursor: Mapped[int] = mapped_column(BigInteger)
    # The last event of the batch that is being tried: tried again, it is the same batch.
    batch_until: Mapped[int | None] = mapped_column(BigInteger)
    replays: Mapped[int]  # a part of the messages' ids: a replayed batch is a new message
    delivered: Mapped[int] = mapped_column(BigInteger)  # events, in all
    delivered_at: Mapped[datetime | None]
    attempts: Mapped[int]  # of the batch that is being tried
    failing_since: Mapped[datetime | None]
    next_attempt_at: Mapped[datetime | None]
    # Which process is at it, so that no two are.
    lease_by: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[datetime | None]
    created_at: Mapped[datetime]
