"""The database behind a command: behind, away, and left as it was after an error."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from catalog.errors import OperatorError
from catalog.settings import settings
from db.command_line import database, looking, writing
from db.engine import make_engine
from db.ledger.heartbeats import latest
from db.ledger.models import Heartbeat
from db.migrate import upgrade

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def migrated() -> None:
    engine = make_engine(settings().database)
    upgrade(engine)
    engine.dispose()


def beat() -> Heartbeat:
    return Heartbeat(name="here", kind="test", beat_at=NOW, detail={})


def test_a_database_without_tables_is_refused_with_what_to_run() -> None:
    with pytest.raises(OperatorError, match="tagger db upgrade"), looking():
        pass


def test_a_database_that_is_away_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg://shop:secret@127.0.0.1:1/catalog")
    match = r"127\.0\.0\.1:1/catalog to answer"
    with pytest.raises(OperatorError, match=match) as refused, database():
        pass
    assert "secret" not in str(refused.value)


@pytest.mark.usefixtures("migrated")
def test_what_was_written_is_there_afterwards() -> None:
    with writing() as session:
        session.add(beat())
    with looking() as session:
        assert latest(session, "test") is not None


def beat_and_fail() -> None:
    with writing() as session:
        session.add(beat())
        session.flush()
        session.execute(text("SELECT * FROM nowhere"))


@pytest.mark.usefixtures("migrated")
def test_after_an_error_nothing_was_changed() -> None:
    with pytest.raises(OperatorError, match="to answer: no such table"):
        beat_and_fail()
    with looking() as session:
        assert latest(session, "test") is None
