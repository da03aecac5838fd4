"""Giving committed events their numbers, in an order that no reader can be overtaken by.

PostgreSQL's sequences count at the time of writing, and transactions commit in another order: a
reader who has seen event 11 would never see event 10, which commits after it. So the rows are
written without a number, and a step of its own numbers those that are committed, one at a time
(it locks the row that holds the last number). What commits later gets a later number. There are
no gaps, and a transaction that stays open, whoever's it is, holds up its own events only.

Whoever reads calls this first: nobody waits for a clock, and nothing is lost when none ticks.
"""

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from db.events.models import NUMBERED, EventCursor, EventRow

PAGE_SIZE = 5000


def number_new(session: Session, limit: int = PAGE_SIZE) -> int:
    """Number committed events that have no number yet, at most so many; how many there were.

    The caller commits. On SQLite events have their numbers from the start.
    """
    without = select(EventRow.id).where(EventRow.number.is_(None)).limit(1)
    if session.get_bind().dialect.name != "postgresql" or session.scalar(without) is None:
        return 0
    cursor = select(EventCursor).where(EventCursor.name == NUMBERED).with_for_update()
    numbered = session.scalars(cursor.execution_options(populate_existing=True)).one()
    # The statement's snapshot is younger than the lock: it sees what the last holder numbered.
    # In the order of ids: of two events of one product the later one has the greater id, as its
    # writer had to wait for the former one's commit.
    given = (
        select(EventRow.id, func.row_number().over(order_by=EventRow.id).label("place"))
        .where(EventRow.number.is_(None))
        .order_by(EventRow.id)
        .limit(limit)
        .subquery()
    )
    done = session.scalars(
        update(EventRow)
        .where(EventRow.id == given.c.id)
        .values(number=numbered.number + given.c.place)
        .returning(EventRow.number)
        .execution_options(synchronize_session=False)
    ).all()
    numbered.number += len(done)
    session.flush()
    return len(done)
