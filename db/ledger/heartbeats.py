"""Signs of life that outlive their process."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from db.ledger.models import Heartbeat
from db.upsert import insert

RECONCILER = "reconciler"


def beat(session: Session, name: str, kind: str, now: datetime, detail: Mapping[str, Any]) -> None:
    """Write that `name`, of this kind, did its work just now."""
    session.execute(beating(session, name, kind, now, detail))


def beating(
    session: Session, name: str, kind: str, now: datetime, detail: Mapping[str, Any]
) -> postgresql.Insert | sqlite.Insert:
    """The statement that writes it, for whoever wants an answer from the same round trip."""
    fields = {"name": name, "kind": kind, "beat_at": now, "detail": dict(detail)}
    statement = insert(session, Heartbeat).values(fields)
    return statement.on_conflict_do_update(
        index_elements=[Heartbeat.name],
        set_={"beat_at": statement.excluded.beat_at, "detail": statement.excluded.detail},
    )


def latest(session: Session, kind: str) -> Heartbeat | None:
    """The newest heartbeat of this kind."""
    newest = select(Heartbeat).where(Heartbeat.kind == kind).order_by(Heartbeat.beat_at.desc())
    return session.scalars(newest.limit(1)).first()
