"""Waiting for SQLite's one writer."""

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import OperationalError

from db.engine import PATIENCE_S, make_engine, reading, sessions


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = make_engine(f"sqlite:///{tmp_path / 'a.db'}", patience_s=2)
    with sessions(engine).begin() as session:
        session.execute(text("CREATE TABLE numbers (n INTEGER)"))
    yield engine
    engine.dispose()


def test_a_database_is_its_owners_alone_with_all_that_sqlite_keeps_beside_it(
    tmp_path: Path,
) -> None:
    before = os.umask(0)
    engine = make_engine(f"sqlite:///{tmp_path / 'new' / 'a.db'}")
    try:
        with sessions(engine).begin() as session:
            session.execute(text("CREATE TABLE numbers (n INTEGER)"))
            found = {each.name: each.stat().st_mode & 0o777 for each in tmp_path.glob("new/*")}
    finally:
        os.umask(before)
        engine.dispose()
    assert set(found) == {"a.db", "a.db-wal", "a.db-shm"}
    assert set(found.values()) == {0o600}
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_an_error_of_a_statement_does_not_show_what_it_was_given(engine: Engine) -> None:
    with pytest.raises(OperationalError) as error, sessions(engine).begin() as session:
        session.execute(text("INSERT INTO nowhere VALUES (:uri)"), {"uri": "S3CRET"})
    assert "S3CRET" not in str(error.value)


def test_writer_looks_again_and_again_and_so_gets_into_short_gaps(engine: Engine) -> None:
    """SQLite's own wait looks once and then sleeps for up to 100 ms: a bulk writer's gaps are 4."""
    looked = threading.Semaphore(0)

    def count(connection: sqlite3.Connection, _: object) -> None:
        connection.set_trace_callback(
            lambda statement: looked.release() if statement == "BEGIN IMMEDIATE" else None
        )

    waiting = make_engine(engine.url.render_as_string(), patience_s=60)
    event.listen(waiting, "connect", count)
    with ThreadPoolExecutor(1) as pool:
        with sessions(engine).begin() as session:
            session.execute(text("INSERT INTO numbers VALUES (1)"))
            written = pool.submit(insert, waiting)
            assert all(looked.acquire(timeout=30) for _ in range(10))
            assert not written.done()
        written.result(timeout=30)
    waiting.dispose()


def insert(engine: Engine) -> None:
    with sessions(engine).begin() as session:
        session.execute(text("INSERT INTO numbers VALUES (2)"))


def test_wait_for_the_lock_ends_with_the_patience(engine: Engine, tmp_path: Path) -> None:
    hasty = make_engine(f"sqlite:///{tmp_path / 'a.db'}", patience_s=0.2)
    with sessions(engine).begin() as session:
        session.execute(text("INSERT INTO numbers VALUES (1)"))
        started = time.perf_counter()
        with pytest.raises(OperationalError, match="locked"), sessions(hasty).begin() as other:
            other.execute(text("INSERT INTO numbers VALUES (2)"))
        assert 0.15 < time.perf_counter() - started < PATIENCE_S / 2
        with reading(hasty)() as reader:
            assert reader.scalar(text("SELECT count(*) FROM numbers")) == 0
    hasty.dispose()


def test_a_second_connection_ends_no_lock_of_the_first(engine: Engine) -> None:
    """Closing any descriptor of SQLite's file would: others would take the journal away then."""
    write = (
        "import sqlite3, sys\nconnection = sqlite3.connect(sys.argv[1])\n"
        "connection.execute('INSERT INTO numbers VALUES (1)')\nconnection.commit()\n"
        "connection.close()"
    )
    path = str(engine.url.database)
    with reading(engine)() as first, reading(engine)() as second:
        for count in range(1, 4):
            assert first.scalar(text("SELECT count(*) FROM numbers")) == count - 1
            first.rollback()
            second.scalar(text("SELECT 1"))  # the pool has one more to open at the first look
            subprocess.run([sys.executable, "-c", write, path], check=True)
        assert first.scalar(text("SELECT count(*) FROM numbers")) == 3
