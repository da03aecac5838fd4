from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from catalog.events import EventKind
from db.events.cursors import move
from db.events.numbering import number_new
from db.events.pruning import delete_old
from db.events.vitals import Behind, outbox
from db.events.writing import NewEvent, write

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def happened(session: Session, *minutes_ago: int) -> None:
    for minutes in minutes_ago:
        event = NewEvent(kind=EventKind.TAGGED, product_id=f"{minutes}")
        write(session, [event], NOW - timedelta(minutes=minutes))


def test_outbox_says_how_much_it_holds_and_how_far_readers_are_behind(session: Session) -> None:
    empty = outbox(session, NOW, ["stream"])
    assert (empty.last, empty.kept, empty.unnumbered_s) == (0, 0, None)
    assert empty.behind == {"stream": Behind(events=0, oldest_s=None)}
    happened(session, 40, 30, 20, 10)
    number_new(session)
    delete_old(session, NOW - timedelta(minutes=35))
    found = outbox(session, NOW, ["stream"])
    assert (found.last, found.kept) == (4, 3)
    assert found.behind == {"stream": Behind(events=4, oldest_s=1800.0)}
    move(session, "stream", 3, NOW)
    assert outbox(session, NOW, ["stream"]).behind == {"stream": Behind(events=1, oldest_s=600.0)}


def test_events_that_nobody_has_numbered_yet_are_told(session: Session) -> None:
    happened(session, 5)
    on_sqlite = session.get_bind().dialect.name == "sqlite"
    assert outbox(session, NOW).unnumbered_s == (None if on_sqlite else 300.0)
    number_new(session)
    assert outbox(session, NOW).unnumbered_s is None
