"""Who lives and who is dead, by the signs of life in the ledger."""

from datetime import timedelta

from sqlalchemy.orm import Session

from db.ledger import heartbeats
from db.ledger.heartbeats import CONFIRMED, KEPT, QUIET, beat_child, clock, listen
from db.ledger.models import Heartbeat

SECOND = timedelta(seconds=1)


def let_pass(session: Session, owner: str, silence: timedelta) -> None:
    """Make it look as if all that is written of this child had been written so long ago."""
    row = session.get_one(Heartbeat, owner, populate_existing=True)
    row.beat_at -= silence
    detail = dict(row.detail)
    if "silent_since" in detail:
        marked = heartbeats.datetime.fromisoformat(detail["silent_since"])
        detail["silent_since"] = (marked - silence).isoformat()
    row.detail = detail
    session.flush()


def test_a_child_is_dead_when_it_was_silent_at_two_looks(session: Session) -> None:
    beat_child(session, "w:1", "ingest")
    assert listen(session).living == {"w"}
    let_pass(session, "w:1", QUIET + SECOND)
    assert listen(session).dead == {}
    let_pass(session, "w:1", CONFIRMED - 2 * SECOND)
    assert listen(session).dead == {}
    let_pass(session, "w:1", 3 * SECOND)
    found = listen(session)
    assert (found.living, found.dead) == (set(), {"w": "ingest"})


def test_the_first_look_after_a_database_was_away_takes_nobody_for_dead(session: Session) -> None:
    beat_child(session, "w:1", "ingest")
    let_pass(session, "w:1", timedelta(hours=3))
    assert listen(session).dead == {}
    beat_child(session, "w:1", "ingest")  # it hears that the database is back
    let_pass(session, "w:1", CONFIRMED + SECOND)
    assert (
        listen(session).dead == {}
    )  # the mark went with the beat: it is silent for the first time


def test_a_worker_lives_as_long_as_one_of_its_children_does(session: Session) -> None:
    for owner in ("one:1", "one:2", "two:1"):
        beat_child(session, owner, "bulk")
    for owner in ("one:1", "two:1"):
        let_pass(session, owner, QUIET + SECOND)
    listen(session)
    for owner in ("one:1", "two:1"):
        let_pass(session, owner, CONFIRMED + SECOND)
    found = listen(session)
    assert (found.living, found.dead) == ({"one"}, {"two": "bulk"})


def test_a_child_that_was_replaced_is_forgotten_after_a_while(session: Session) -> None:
    for owner in ("w:1", "w:2"):
        beat_child(session, owner, "ingest")
    let_pass(session, "w:1", QUIET + SECOND)
    listen(session)
    let_pass(session, "w:1", KEPT)
    assert listen(session).living == {"w"}
    session.flush()
    assert session.get(Heartbeat, "w:1") is None
    assert session.get(Heartbeat, "w:2") is not None


def test_a_worker_that_was_given_up_is_forgotten_and_one_that_ended_well_too(
    session: Session,
) -> None:
    for owner in ("one:1", "one:2", "o:1", "two:1"):
        beat_child(session, owner, "ingest")
    heartbeats.forget_worker(session, "one")
    heartbeats.forget_child(session, "two:1")
    assert listen(session).living == {"o"}


def test_the_clock_is_a_clock(session: Session) -> None:
    first, second = clock(session), clock(session)
    assert first.tzinfo is not None
    assert timedelta(0) <= second - first < timedelta(minutes=5)
