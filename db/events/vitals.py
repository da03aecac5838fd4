"""Whether the outbox is read: how much it holds, and how far its readers are behind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.events.cursors import place
from db.events.models import EventRow
from db.events.reading import last_number


@dataclass(frozen=True, kw_only=True)
class Behind:
    """What a reader has still to read; oldest_s: the age of the first of it, none: nothing is."""

    events: int
    oldest_s: float | None


@dataclass(frozen=True, kw_only=True)
class Outbox:
    """last: the number of the newest event. kept: how many there are, as numbers have no gaps.

    unnumbered_s: the age of the oldest event that nobody could read yet. behind: by reader.
    """

    last: int
    kept: int
    unnumbered_s: float | None
    behind: Mapping[str, Behind]


def outbox(session: Session, now: datetime, readers: Sequence[str] = ()) -> Outbox:
    """Measure it by its ends; readers: the names of cursors that matter."""
    last = last_number(session)
    first = session.scalar(select(func.min(EventRow.number)))
    oldest = select(EventRow.at).where(EventRow.number.is_(None)).order_by(EventRow.id).limit(1)
    return Outbox(
        last=last,
        kept=0 if first is None else last - first + 1,
        unnumbered_s=_age(session.scalar(oldest), now),
        behind={name: _behind(session, place(session, name) or 0, last, now) for name in readers},
    )


def _behind(session: Session, after: int, last: int, now: datetime) -> Behind:
    following = select(EventRow.at).where(EventRow.number > after).order_by(EventRow.number)
    return Behind(
        events=max(0, last - after), oldest_s=_age(session.scalar(following.limit(1)), now)
    )


def _age(at: datetime | None, now: datetime) -> float | None:
    return None if at is None else max(0.0, (now - at).total_seconds())
