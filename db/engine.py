"""Engines and sessions for SQLite (WAL) and PostgreSQL."""

import sqlite3
import time
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.orm import Session, sessionmaker

from catalog.private import private_file, private_folder

# How long a statement waits for a lock, and for a server that has gone silent.
PATIENCE_S = 30.0
# How often a writer looks whether SQLite's lock is free.
LOCK_POLL_S = 0.002


def make_engine(url: str, *, patience_s: float = PATIENCE_S) -> Engine:
    """An engine for one process; nothing connects before it is used.

    SQLite runs in WAL mode with full durability, and every transaction takes the write lock at
    its start: one that began by reading would fail at its first write, without waiting, if
    another had written in between. Readers ask for `reading(engine)` instead.

    A worker's patience is a part of its batch's time limit: a wait without end would be taken for
    a picture that hangs.
    """
    if make_url(url).get_backend_name() != "sqlite":
        # The broker may idle for hours between jobs; a dead connection is replaced, not used.
        engine = create_engine(
            url,
            pool_pre_ping=True,
            hide_parameters=True,
            use_native_hstore=False,  # or it asks for a type that no table of ours has
            connect_args=_for_postgresql(patience_s),
        )
        event.listen(engine, "connect", partial(_prepare_postgresql, patience_s=patience_s))
        return engine
    database = make_url(url).database
    if database and database != ":memory:" and not Path(database).parent.exists():
        private_folder(Path(database).parent)
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": patience_s})
    event.listen(engine, "do_connect", _make_private)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", partial(_begin_sqlite, patience_s=patience_s))
    return engine


def sessions(engine: Engine) -> sessionmaker[Session]:
    """Sessions that read and write; the caller commits."""
    return sessionmaker(engine, expire_on_commit=False)


def reading(engine: Engine) -> sessionmaker[Session]:
    """Sessions that only read, and so never wait for a writer."""
    return sessionmaker(engine.execution_options(read_only=True), expire_on_commit=False)


def _for_postgresql(patience_s: float) -> dict[str, int]:
    return {
        "connect_timeout": max(2, round(min(patience_s, 10))),
        "tcp_user_timeout": round(1000 * patience_s),
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 2,
    }


def _prepare_postgresql(connection: Any, record: object, *, patience_s: float) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = '{round(1000 * patience_s)}ms'")
    connection.commit()


def _make_private(
    dialect: object, record: object, arguments: list[Any], options: dict[str, Any]
) -> None:
    """Let only its owner read a database, from the moment in which the file appears."""
    if arguments and arguments[0] != ":memory:" and not options.get("uri"):
        private_file(Path(arguments[0]))


def _prepare_sqlite(connection: Any, record: object) -> None:
    # The driver's own BEGIN comes too late and is never IMMEDIATE: _begin_sqlite emits it.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: Connection, *, patience_s: float) -> None:
    if connection.get_execution_options().get("read_only", False):
        connection.exec_driver_sql("BEGIN")
        return
    raw = connection.connection.cursor()
    # SQLite's own wait sleeps for up to 100 ms between two looks, and so misses the short gaps
    # that another writer leaves: a new product would wait for a whole bulk chunk.
    raw.execute("PRAGMA busy_timeout = 0")
    try:
        _begin_within(connection, raw, time.monotonic() + patience_s)
    finally:
        raw.execute(f"PRAGMA busy_timeout = {round(1000 * patience_s)}")
        raw.close()


def _begin_within(connection: Connection, raw: Any, deadline: float) -> None:
    while time.monotonic() < deadline:
        try:
            raw.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                break
            time.sleep(LOCK_POLL_S)
        else:
            return
    connection.exec_driver_sql("BEGIN IMMEDIATE")  # so that SQLAlchemy raises what is wrong
