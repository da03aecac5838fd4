"""Engines and sessions for SQLite (WAL) and PostgreSQL."""

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.orm import Session, sessionmaker

SQLITE_BUSY_TIMEOUT_S = 30
# A database that has gone silent, or a lock that is never given back, must end in an error well
# before a batch's time limit: otherwise its pictures would be blamed for the death of the process.
POSTGRESQL_CONNECT = {
    "connect_timeout": 5,
    "tcp_user_timeout": 20_000,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
}
POSTGRESQL_LOCK_TIMEOUT_S = 20


def make_engine(url: str) -> Engine:
    """An engine for one process; nothing connects before it is used.

    SQLite runs in WAL mode with full durability, and every transaction takes the write lock at
    its start: one that began by reading would fail at its first write, without waiting, if
    another had written in between. Readers ask for `reading(engine)` instead.
    """
    if make_url(url).get_backend_name() != "sqlite":
        # The broker may idle for hours between jobs; a dead connection is replaced, not used.
        engine = create_engine(url, pool_pre_ping=True, connect_args=POSTGRESQL_CONNECT)
        event.listen(engine, "connect", _prepare_postgresql)
        return engine
    database = make_url(url).database
    if database and database != ":memory:":
        Path(database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_S})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def sessions(engine: Engine) -> sessionmaker[Session]:
    """Sessions that read and write; the caller commits."""
    return sessionmaker(engine, expire_on_commit=False)


def reading(engine: Engine) -> sessionmaker[Session]:
    """Sessions that only read, and so never wait for a writer."""
    return sessionmaker(engine.execution_options(read_only=True), expire_on_commit=False)


def _prepare_postgresql(connection: Any, record: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = '{POSTGRESQL_LOCK_TIMEOUT_S}s'")
    connection.commit()


def _prepare_sqlite(connection: Any, record: object) -> None:
    # The driver's own BEGIN comes too late and is never IMMEDIATE: _begin_sqlite emits it.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    read_only = connection.get_execution_options().get("read_only", False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
