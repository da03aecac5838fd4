"""Migrated databases for tests: migrated once for each kind, then copied."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from uuid import uuid4

from sqlalchemy import Connection, Engine, create_engine, text

from db import migrate
from db.engine import make_engine

TEMPLATE = "migrated"


def migrated_sqlite(url: str) -> Engine:
    """An engine on a new SQLite file at the newest schema; the caller disposes of it."""
    engine = make_engine(url)
    assert engine.url.database
    Path(engine.url.database).write_bytes(_sqlite_template())
    return engine


class PostgresServer:
    """A running server that hands out copies of one migrated database."""

    def __init__(self, url: str) -> None:
        self._admin = create_engine(url, isolation_level="AUTOCOMMIT")
        with self._admin.connect() as connection:
            # A test's database need not survive a power cut; killed servers lose nothing by this.
            connection.execute(text("ALTER SYSTEM SET fsync = off"))
            connection.execute(text("SELECT pg_reload_conf()"))
            connection.execute(text(f'CREATE DATABASE "{TEMPLATE}"'))
        engine = make_engine(self._url_of(TEMPLATE))
        migrate.upgrade(engine)
        engine.dispose()

    @contextmanager
    def database(self, *, template: str | None = TEMPLATE) -> Iterator[str]:
        """The URL of a database of one's own, dropped afterwards; template None: an empty one."""
        name = f"test_{uuid4().hex}"
        with self._connect() as connection:
            source = f' TEMPLATE "{template}"' if template else ""
            connection.execute(text(f'CREATE DATABASE "{name}"{source}'))
        try:
            yield self._url_of(name)
        finally:
            with self._connect() as connection:
                connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))

    def dispose(self) -> None:
        self._admin.dispose()

    def _connect(self) -> Connection:
        return self._admin.connect()

    def _url_of(self, name: str) -> str:
        return self._admin.url.set(database=name).render_as_string(hide_password=False)


@cache
def _sqlite_template() -> bytes:
    with tempfile.TemporaryDirectory(prefix="tagger-sqlite-") as folder:
        path = Path(folder) / "template.db"
        engine = make_engine(f"sqlite:///{path}")
        migrate.upgrade(engine)
        engine.dispose()  # the last connection writes the journal back into the file
        return path.read_bytes()
