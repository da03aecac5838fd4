"""Made-up ledgers to measure on: filled once, and used again where a folder keeps them."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from db import migrate
from db.engine import make_engine, sessions
from db.review import queue as review_queue
from lab.faults.databases import PostgresServer
from lab.scale.synthetic import analyse, fill

# A ledger has its name only once it is full: one whose filling was cut short is begun anew.
FILLING = "_filling"


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """One of them. fill_s: None where an earlier run has filled it."""

    products: int
    url: str
    fill_s: float | None
    server_pid: int | None = None


@contextmanager
def ledgers(sizes: Sequence[int], database: str, folder: Path | None) -> Iterator[list[Ledger]]:
    """A ledger of each size on "sqlite" or "postgresql" (the test extra).

    folder: where they stay for the next time; without one nothing stays.
    """
    with tempfile.TemporaryDirectory(prefix="tagger-ledgers-") as scratch:
        if database == "sqlite":
            yield [_on_sqlite(folder or Path(scratch), size) for size in sizes]
            return
        server = PostgresServer(folder / "postgresql" if folder else None)
        try:
            yield [_on_postgresql(server, size) for size in sizes]
        finally:
            server.close()


def _on_sqlite(folder: Path, size: int) -> Ledger:
    folder.mkdir(parents=True, exist_ok=True)
    path, filling = folder / f"growth{size}.db", folder / f"growth{size}{FILLING}.db"
    fill_s = None
    if not path.exists():
        filling.unlink(missing_ok=True)
        fill_s = _fill(f"sqlite:///{filling}", size)
        filling.rename(path)
    return Ledger(products=size, url=f"sqlite:///{path}", fill_s=fill_s)


def _on_postgresql(server: PostgresServer, size: int) -> Ledger:
    name = f"growth{size}"
    found, fill_s = server.kept(name), None
    if found is None:
        server.drop(name + FILLING)
        fill_s = _fill(server.database(name + FILLING).url, size)
        found = server.rename(name + FILLING, name)
    return Ledger(products=size, url=found.url, fill_s=fill_s, server_pid=server.process_id)


def _fill(url: str, size: int) -> float:
    """Products, taggings, and the queue of what waits for a person; return the seconds it took."""
    engine = make_engine(url)
    migrate.upgrade(engine)
    started = time.perf_counter()
    fill(engine, size, statistics=False)
    with sessions(engine).begin() as session:
        review_queue.fill(session)
    analyse(engine)  # as autovacuum has, a minute later
    engine.dispose()
    return time.perf_counter() - started
