"""What tells whether the tagger keeps up: age, pace, retries, signs of life."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from db.base import EPOCH
from db.ledger.heartbeats import RECONCILER, latest
from db.ledger.models import Heartbeat, Product, Tagging

PACE_WINDOW = timedelta(seconds=60)
FLAG_WINDOW = timedelta(hours=1)
# A night's run makes a million taggings an hour: the share of the newest says as much.
FLAGS_MAX = 10_000


@dataclass(frozen=True, kw_only=True)
class Vitals:
    """The ledger's side of health at one instant.

    flag_rate: share of the taggings of the last hour, the newest FLAGS_MAX of them, that a person
    should look at; None without any. reconciled_at: the end of the reconciler's last pass.
    consumed_at: the last batch of each queue.
    """

    oldest_unfinished_s: float | None
    tagged_per_s: float
    flag_rate: float | None
    retries_planned: int
    retries_due: int
    reconciled_at: datetime | None
    consumed_at: Mapping[str, datetime]


def vitals(session: Session, now: datetime, oldest: datetime | None) -> Vitals:
    """Measure them, by indexed columns only. oldest: the summary's oldest_queued_at."""
    tagged = _tagged_since(session, now - PACE_WINDOW)
    reconciled = latest(session, RECONCILER)
    planned, due = _retries(session, now)
    return Vitals(
        oldest_unfinished_s=(now - oldest).total_seconds() if oldest else None,
        tagged_per_s=tagged / PACE_WINDOW.total_seconds(),
        flag_rate=_flag_rate(session, now - FLAG_WINDOW),
        retries_planned=planned,
        retries_due=due,
        reconciled_at=reconciled.beat_at if reconciled else None,
        consumed_at=_consumed(session),
    )


def _tagged_since(session: Session, since: datetime) -> int:
    counted = select(func.count()).select_from(Tagging).where(Tagging.tagged_at >= since)
    return session.scalar(counted) or 0


def _flag_rate(session: Session, since: datetime) -> float | None:
    newest = (
        select(case((Tagging.flagged, 1.0), else_=0.0).label("flagged"))
        .where(Tagging.tagged_at >= since)
        .order_by(Tagging.tagged_at.desc())
        .limit(FLAGS_MAX)
        .subquery()
    )
    share = session.scalar(select(func.avg(newest.c.flagged)))
    return None if share is None else float(share)


def _retries(session: Session, now: datetime) -> tuple[int, int]:
    """How many are planned, and how many of them are due."""
    due = func.count(case((Product.next_attempt_at <= now, 1)))
    # SQLite searches an index for what is greater, not for what is not null.
    counted = select(func.count(), due).where(Product.next_attempt_at > EPOCH)
    planned, due_now = session.execute(counted).one()
    return planned, due_now


def _consumed(session: Session) -> dict[str, datetime]:
    rows = session.execute(
        select(Heartbeat.kind, func.max(Heartbeat.beat_at))
        .where(Heartbeat.kind.in_(["ingest", "bulk"]))
        .group_by(Heartbeat.kind)
    )
    return dict(rows.all())
