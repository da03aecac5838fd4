"""Waiting for SQLite's one writer."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from db.engine import make_engine, reading, sessions


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = make_engine(f"sqlite:///{tmp_path / 'a.db'}", patience_s=2)
    with sessions(engine).begin() as session:
        session.execute(text("CREATE TABLE numbers (n INTEGER)"))
    yield engine
    engine.dispose()


def write_in_a_row(engine: Engine, stop: threading.Event) -> None:
    """Transactions of 30 ms with gaps of 4 ms, as a bulk chunk is written."""
    while not stop.is_set():
        with sessions(engine).begin() as session:
            session.execute(text("INSERT INTO numbers VALUES (1)"))
            time.sleep(0.03)
        time.sleep(0.004)


def test_writer_gets_in_between_short_transactions_of_another(engine: Engine) -> None:
    stop = threading.Event()
    bulk = threading.Thread(target=write_in_a_row, args=(engine, stop))
    bulk.start()
    time.sleep(0.1)
    waits = []
    for _ in range(10):
        started = time.perf_counter()
        with sessions(engine).begin() as session:
            session.execute(text("INSERT INTO numbers VALUES (2)"))
        waits.append(time.perf_counter() - started)
        time.sleep(0.01)
    stop.set()
    bulk.join()
    assert sorted(waits)[5] < 0.1


def test_wait_for_the_lock_ends_with_the_patience(engine: Engine, tmp_path: Path) -> None:
    hasty = make_engine(f"sqlite:///{tmp_path / 'a.db'}", patience_s=0.2)
    with sessions(engine).begin() as session:
        session.execute(text("INSERT INTO numbers VALUES (1)"))
        started = time.perf_counter()
        with pytest.raises(OperationalError, match="locked"), sessions(hasty).begin() as other:
            other.execute(text("INSERT INTO numbers VALUES (2)"))
        assert 0.15 < time.perf_counter() - started < 1.5
        with reading(hasty)() as reader:
            assert reader.scalar(text("SELECT count(*) FROM numbers")) == 0
    hasty.dispose()
