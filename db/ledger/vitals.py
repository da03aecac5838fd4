"""What tells whether the tagger keeps up: age, pace, retries, signs of life."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from catalog.status import ProductStatus
from db.ledger.heartbeats import RECONCILER, latest
from db.ledger.models import Heartbeat, Product, Tagging

PACE_WINDOW = timedelta(seconds=60)
FLAG_WINDOW = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Vitals:
    """The ledger's side of health at one instant.

    flag_rate: share of the taggings of the last hour that a person should look at; None without
    any. reconciled_at: the end of the reconciler's last pass. consumed_at: the last batch of each
    queue.
    """

    oldest_unfinished_s: float | None
    tagged_per_s: float
    flag_rate: float | None
    retries_planned: int
    retries_due: int
    reconciled_at: datetime | None
    consumed_at: Mapping[str, datetime]


def vitals(session: Session, now: datetime) -> Vitals:
    """Measure them, by indexed columns only."""
    waiting = Product.status.in_([ProductStatus.QUEUED, ProductStatus.PROCESSING])
    oldest = session.scalar(select(func.min(Product.queued_at)).where(waiting))
    tagged = _tagged_since(session, now - PACE_WINDOW)
    hour, flagged = (
        _tagged_since(session, now - FLAG_WINDOW),
        _tagged_since(session, now - FLAG_WINDOW, flagged=True),
    )
    reconciled = latest(session, RECONCILER)
    return Vitals(
        oldest_unfinished_s=(now - oldest).total_seconds() if oldest else None,
        tagged_per_s=tagged / PACE_WINDOW.total_seconds(),
        flag_rate=flagged / hour if hour else None,
        retries_planned=_planned(session),
        retries_due=_planned(session, now),
        reconciled_at=reconciled.beat_at if reconciled else None,
        consumed_at=_consumed(session),
    )


def _tagged_since(session: Session, since: datetime, *, flagged: bool = False) -> int:
    counted = select(func.count()).select_from(Tagging).where(Tagging.tagged_at >= since)
    return session.scalar(counted.where(Tagging.flagged) if flagged else counted) or 0


def _planned(session: Session, until: datetime | None = None) -> int:
    counted = select(func.count()).select_from(Product).where(Product.next_attempt_at.is_not(None))
    return (
        session.scalar(
            counted if until is None else counted.where(Product.next_attempt_at <= until)
        )
        or 0
    )


def _consumed(session: Session) -> dict[str, datetime]:
    rows = session.execute(
        select(Heartbeat.kind, func.max(Heartbeat.beat_at))
        .where(Heartbeat.kind.in_(["ingest", "bulk"]))
        .group_by(Heartbeat.kind)
    )
    return dict(rows.all())
