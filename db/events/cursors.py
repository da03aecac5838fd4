"""How far readers have come that keep their place here."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.events.models import EventCursor
from db.upsert import insert


def place(session: Session, name: str) -> int | None:
    """The number of the last event that this reader passed on; None: it never did."""
    return session.scalar(select(EventCursor.number).where(EventCursor.name == name))


def move(session: Session, name: str, number: int, now: datetime) -> None:
    """The reader has passed on every event up to this one."""
    statement = insert(session, EventCursor).values(name=name, number=number, moved_at=now)
    new = statement.excluded
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[EventCursor.name],
            set_={"number": new.number, "moved_at": new.moved_at},
        )
    )
