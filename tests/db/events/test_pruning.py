from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from catalog.events import EventKind
from db.events.numbering import number_new
from db.events.pruning import delete_old
from db.events.reading import read
from db.events.writing import NewEvent, write

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def happened(session: Session, *days_ago: int) -> None:
    for days in days_ago:
        event = NewEvent(kind=EventKind.TAGGED, product_id=f"{days}")
        write(session, [event], NOW - timedelta(days=days))
        number_new(session)


def test_old_events_go_the_oldest_first_and_in_pages(session: Session) -> None:
    happened(session, 9, 8, 7, 2, 1)
    week = NOW - timedelta(days=5)
    assert delete_old(session, week, limit=2) == 2
    assert [each.number for each in read(session, 0).events] == [3, 4, 5]
    assert delete_old(session, week, limit=2) == 1
    assert delete_old(session, week, limit=2) == 0
    assert [each.product_id for each in read(session, 0).events] == ["2", "1"]


def test_event_that_nobody_could_read_yet_is_kept(session: Session) -> None:
    write(session, [NewEvent(kind=EventKind.TAGGED, product_id="p1")], NOW - timedelta(days=99))
    on_sqlite = session.get_bind().dialect.name == "sqlite"  # numbered while written
    assert delete_old(session, NOW) == int(on_sqlite)
