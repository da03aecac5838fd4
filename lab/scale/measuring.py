"""What a ledger of a million products costs: seconds of a run's pages, bytes of an item."""

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import Engine, text

from db import migrate
from db.engine import make_engine, reading, sessions
from db.ledger import pruning
from db.ledger.summary import summarise
from db.retag import pages as retag_pages
from db.retag import runs as retag_runs
from db.retag.conditions import condition
from db.retag.report import report
from db.retag.selection import parse_selection
from lab.faults.databases import PostgresServer
from lab.scale.synthetic import fill

CHUNK = 128
THUMBNAILS = 20_000
OVERLAY_BYTES = 2300  # of photos of 1,000×1,333 px, on average
PAGES = 50
TABLES = ("products", "taggings", "thumbnails")


@dataclass(frozen=True, kw_only=True)
class LedgerFigures:
    """One database. page_ms: looking for a chunk and accepting it, at the ledger's start, middle
    and end; sparse_page_ms: looking at a page of 5,000 products of which none is wanted.
    bytes_per_item: of each table, and of its indexes.
    """

    database: str
    products: int
    fill_s: float
    page_ms: Mapping[str, float]
    sparse_page_ms: float
    progress_ms: float
    report_ms: float
    prune_page_ms: float
    status_s: float
    bytes_per_item: Mapping[str, float]
    index_bytes_per_item: Mapping[str, float]

    def as_json(self) -> str:
        return json.dumps(asdict(self))


def measure(rows: int, only: str | None = None) -> Iterator[LedgerFigures]:
    """Fill and measure SQLite, then PostgreSQL (the test extra)."""
    with tempfile.TemporaryDirectory(prefix="tagger-ledger-") as folder:
        if only in (None, "sqlite"):
            yield _measure(f"sqlite:///{Path(folder) / 'catalog.db'}", rows)
    if only in (None, "postgresql"):
        server = PostgresServer()
        try:
            yield _measure(server.database("ledger").url, rows)
        finally:
            server.close()


def _measure(url: str, rows: int) -> LedgerFigures:
    engine = make_engine(url)
    migrate.upgrade(engine)
    started = time.perf_counter()
    fill(engine, rows, thumbnails=THUMBNAILS, overlay_bytes=OVERLAY_BYTES)
    fill_s = time.perf_counter() - started
    tables, indexes = bytes_per_row(engine)
    run_id = _plan(engine, "older-model")
    places = {"start": "", "middle": _id(rows // 2), "end": _id(rows - PAGES * CHUNK - 1)}
    figures = LedgerFigures(
        database=engine.dialect.name,
        products=rows,
        fill_s=fill_s,
        page_ms={name: _pages_ms(engine, run_id, cursor) for name, cursor in places.items()},
        sparse_page_ms=_sparse_ms(engine, rows),
        progress_ms=_ms(engine, lambda session: retag_runs.counts(session, run_id)),
        report_ms=_ms(engine, lambda session: report(session, run_id, datetime.now(UTC))),
        prune_page_ms=_ms(engine, lambda s: pruning.thumbnails_page(s, 500, datetime.now(UTC))),
        status_s=_ms(engine, summarise, times=1) / 1000,
        bytes_per_item=tables,
        index_bytes_per_item=indexes,
    )
    engine.dispose()
    return figures


def _id(number: int) -> str:
    return f"sku-{number:010d}"


def _plan(engine: Engine, selection: str) -> int:
    with sessions(engine).begin() as session:
        run = retag_runs.plan(
            session, parse_selection(selection), datetime.now(UTC), model_version="m2", who="bench"
        )
        session.flush()
        return run.id


def _pages_ms(engine: Engine, run_id: int, cursor: str) -> float:
    """Milliseconds of finding and accepting one chunk: the median of PAGES."""
    with sessions(engine).begin() as session:
        retag_runs.find(session, run_id).cursor = cursor
    wanted = condition(parse_selection("older-model"), model_version="m2", as_of=datetime.now(UTC))
    seconds = []
    for _ in range(PAGES):
        started = time.perf_counter()
        with reading(engine)() as session:
            since = retag_runs.find(session, run_id).cursor
            page = retag_pages.next_page(session, since, wanted, limit=CHUNK)
        with sessions(engine).begin() as session:
            retag_pages.take(session, run_id, "bench", since, page, wanted, datetime.now(UTC))
        seconds.append(time.perf_counter() - started)
    return 1000 * median(seconds)


def _sparse_ms(engine: Engine, rows: int) -> float:
    wanted = condition(parse_selection("label=Hat"), model_version="m2", as_of=datetime.now(UTC))

    def look(session: Any) -> None:
        retag_pages.next_page(session, _id(rows // 3), wanted, limit=CHUNK)

    return _ms(engine, look)


def _ms(engine: Engine, work: Callable[[Any], object], times: int = 5) -> float:
    seconds = []
    for _ in range(times):
        with sessions(engine)() as session:
            started = time.perf_counter()
            work(session)
            seconds.append(time.perf_counter() - started)
    return 1000 * median(seconds)


def bytes_per_row(engine: Engine) -> tuple[dict[str, float], dict[str, float]]:
    """Bytes per row of each table's own pages and of its indexes'."""
    found = _sizes_on_postgresql if engine.dialect.name == "postgresql" else _sizes_on_sqlite
    tables: dict[str, float] = {}
    indexes: dict[str, float] = {}
    with reading(engine)() as session:
        for table in TABLES:
            rows = session.scalar(text(f"SELECT count(*) FROM {table}")) or 1  # noqa: S608
            own, others = found(session, table)
            tables[table], indexes[table] = own / rows, others / rows
    return tables, indexes


def _sizes_on_postgresql(session: Any, table: str) -> tuple[int, int]:
    row = session.execute(
        text("SELECT pg_table_size(CAST(:t AS regclass)), pg_indexes_size(CAST(:t AS regclass))"),
        {"t": table},
    ).one()
    return int(row[0]), int(row[1])


def _sizes_on_sqlite(session: Any, table: str) -> tuple[int, int]:
    size = text("SELECT coalesce(sum(pgsize), 0) FROM dbstat WHERE name = :n AND aggregate = TRUE")
    names = text("SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = :t")
    indexes = session.scalars(names, {"t": table}).all()
    return (
        int(session.scalar(size, {"n": table})),
        sum(int(session.scalar(size, {"n": name})) for name in indexes),
    )


def render(figures: LedgerFigures) -> str:
    """The figures for people."""
    pages = ", ".join(f"{name} {ms:.1f} ms" for name, ms in figures.page_ms.items())
    rows = [
        f"  {table:<11} {figures.bytes_per_item[table]:6.0f} bytes an item, "
        f"{figures.index_bytes_per_item[table]:5.0f} in indexes"
        for table in TABLES
    ]
    return "\n".join(
        [
            f"{figures.database}: {figures.products} products, filled in {figures.fill_s:.0f} s",
            f"  a chunk of {CHUNK} found and accepted: {pages}",
            f"  a page of which nothing is wanted {figures.sparse_page_ms:.1f} ms, progress "
            f"{figures.progress_ms:.1f} ms, report {figures.report_ms:.1f} ms, pruning a page "
            f"{figures.prune_page_ms:.1f} ms, tagger status {figures.status_s:.1f} s",
            *rows,
        ]
    )
