"""Deleting events that are older than they are kept."""

from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from db.events.models import EventRow

PAGE_SIZE = 2000


def delete_old(session: Session, before: datetime, limit: int = PAGE_SIZE) -> int:
    """Delete events that happened before this, the oldest first, at most so many; how many.

    The caller commits, and comes again as long as it gets `limit`. What has no number yet stays:
    nobody could have read it.
    """
    oldest = session.execute(
        select(EventRow.id, EventRow.at)
        .where(EventRow.number.is_not(None))
        .order_by(EventRow.number)
        .limit(limit)
    )
    ids = [id_ for id_, at in oldest if at < before]
    if ids:
        gone = delete(EventRow).where(EventRow.id.in_(ids))
        session.execute(gone.execution_options(synchronize_session=False))
    return len(ids)
