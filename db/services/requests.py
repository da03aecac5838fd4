"""Requests that were accepted under a key of their sender's, so that a repeated one is harmless."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete
from sqlalchemy.orm import Session

from db.services.models import AcceptedRequest
from db.upsert import insert


@dataclass(frozen=True, kw_only=True)
class Former:
    """What came under this key before."""

    body_sha256: str
    answer: dict[str, Any]


def remember(
    session: Session,
    service_id: int,
    key: str,
    body_sha256: str,
    answer: dict[str, Any],
    now: datetime,
) -> Former | None:
    """Take the key for this request; what came under it before, if it was taken.

    Of two that come at once the second waits here for the first one's commit: on PostgreSQL for
    the row, on SQLite for the only writer.
    """
    row = {
        "service_id": service_id,
        "key": key,
        "body_sha256": body_sha256,
        "answer": answer,
        "accepted_at": now,
    }
    statement = insert(session, AcceptedRequest).values(row).on_conflict_do_nothing()
    if session.execute(statement.returning(AcceptedRequest.key)).first() is not None:
        return None
    found = session.get_one(AcceptedRequest, (service_id, key))
    return Former(body_sha256=found.body_sha256, answer=found.answer)


def forget(session: Session, before: datetime) -> None:
    """Forget keys of requests that were accepted before this instant."""
    session.execute(delete(AcceptedRequest).where(AcceptedRequest.accepted_at < before))
