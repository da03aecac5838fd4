"""Thumbnails in one table beside partitioned ones, on PostgreSQL: written, read, and let go.

The same rows in the same made-up ledger, in the table that ships, in partitions by hash of the
tagging, and in ranges of it. Most are written by the database itself; the last ones in batches as a
worker stores them, in turns, so that a bad minute of the machine meets all ways. Then what `tagger
prune` deletes goes: page by page, as it does, or, where ranges can be taken out, by writing anew
what stays of each.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from random import Random
from statistics import median

from sqlalchemy import Engine, make_url, select, text

from db.engine import make_engine, reading, sessions
from db.ledger.models import Thumbnail
from db.ledger.pruning import delete_thumbnails, thumbnails_page
from db.upsert import insert_many
from lab.scale.ledgers import Ledger, ledgers

PARTITIONS = 16
BATCH = 128
BATCHES = 400  # of these are timed
PART = 50_000
READS = 500
OVERLAY_BYTES, CLASS_MAP_BYTES, EMBEDDING_BYTES = 2300, 980, 192
PICTURES = 500  # different ones; random bytes, as no compression makes JPEG smaller
ONE, HASH, RANGES = "one table", "by hash", "by range"
WAYS = {ONE: "trial_one", HASH: "trial_hash", RANGES: "trial_ranges"}

Picture = Mapping[str, object]

SHIPPED = "CREATE TABLE thumbnails (LIKE public.thumbnails INCLUDING ALL, {refers})"
PARENT = (
    "CREATE TABLE thumbnails (LIKE public.thumbnails INCLUDING ALL, {refers}) PARTITION BY {by}"
)
REFERS = "FOREIGN KEY (tagging_id) REFERENCES public.taggings (id)"
# What a person has to look at, or did: what db/ledger/pruning.py keeps.
KEPT = """
INSERT INTO {new} SELECT old.* FROM {old} AS old
JOIN public.taggings AS tagging ON tagging.id = old.tagging_id
JOIN public.products AS product ON product.current_tagging_id = tagging.id
WHERE product.id = tagging.product_id AND product.status IN ('needs_review', 'reviewed')
"""


@dataclass(kw_only=True)
class Kept:
    """One way of keeping thumbnails. write_ms: a batch of BATCH, with its commit, when most of the
    rows are there. read_ms: one, by its key. let_go_s: all that nobody needs any more. held_ms: how
    long others waited for that at most, each time. gb: when all were written; gb_left: after
    letting go and VACUUM; rows_left: what is still there.
    """

    way: str
    rows: int
    write_ms: float = 0.0
    read_ms: float = 0.0
    let_go_s: float = 0.0
    held_ms: float = 0.0
    gb: float = 0.0
    gb_left: float = 0.0
    rows_left: int = 0

    def as_json(self) -> str:
        return json.dumps(asdict(self))


def measure(rows: int, folder: Path | None = None) -> list[Kept]:
    """All ways; folder: where the ledger stays for the next time."""
    with ledgers([rows], "postgresql", folder) as [ledger]:
        engines = {way: _made(ledger, way) for way in WAYS}
        try:
            found = {way: Kept(way=way, rows=rows) for way in WAYS}
            pictures = [_picture() for _ in range(PICTURES)]
            timed = min(rows // 2, BATCH * BATCHES)
            _fill(engines, pictures, rows - timed)
            _write(engines, found, pictures, range(rows - timed + 1, rows + 1))
            for way, kept in found.items():
                _vacuum(engines[way])
                kept.gb = _gb(engines[way])
            _read(engines, found, rows)
            for way, kept in found.items():
                started = time.perf_counter()
                kept.held_ms = max(_let_go(engines[way], way, rows))
                kept.let_go_s = time.perf_counter() - started
                _vacuum(engines[way])
                kept.gb_left, kept.rows_left = _gb(engines[way]), _count(engines[way])
        finally:
            for way, engine in engines.items():
                _dropped(engine, way)
    return list(found.values())


def _made(ledger: Ledger, way: str) -> Engine:
    """An engine that finds this way's table before the one that ships."""
    path = f"-csearch_path={WAYS[way]},public"
    url = make_url(ledger.url).update_query_dict({"options": path})
    engine = make_engine(url.render_as_string(hide_password=False))
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA IF EXISTS {WAYS[way]} CASCADE"))
        connection.execute(text(f"CREATE SCHEMA {WAYS[way]}"))
        for statement in _tables(way, ledger.products):
            connection.execute(text(statement))
    return engine


def _tables(way: str, rows: int) -> Iterator[str]:
    if way == ONE:
        yield SHIPPED.format(refers=REFERS)
        return
    by = "HASH (tagging_id)" if way == HASH else "RANGE (tagging_id)"
    yield PARENT.format(refers=REFERS, by=by)
    for number in range(PARTITIONS):
        first, last = _range(number, rows)
        part = f"MODULUS {PARTITIONS}, REMAINDER {number}"
        values = f"WITH ({part})" if way == HASH else f"FROM ({first}) TO ({last})"
        yield f"CREATE TABLE part_{number} PARTITION OF thumbnails FOR VALUES {values}"


def _range(number: int, rows: int) -> tuple[int, int]:
    """The first tagging of a range, and the first behind it."""
    return 1 + number * rows // PARTITIONS, 1 + (number + 1) * rows // PARTITIONS


def _fill(engines: Mapping[str, Engine], pictures: Sequence[Picture], rows: int) -> None:
    """Write the first so many, as fast as the database can."""
    made = "CREATE TABLE pictures AS SELECT * FROM public.thumbnails LIMIT 0"
    copied = """
        INSERT INTO thumbnails
        SELECT n, overlay_jpeg, class_map, class_map_height, class_map_width, embedding
        FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS numbers(n)
        JOIN pictures ON pictures.tagging_id = n % :pictures
    """
    columns = [each.name for each in Thumbnail.__table__.columns]
    names, places = ", ".join(columns), ", ".join(f":{each}" for each in columns)
    filled = text(f"INSERT INTO pictures ({names}) VALUES ({places})")  # noqa: S608
    for engine in engines.values():
        with engine.begin() as connection:
            connection.execute(text(made))
            rows_ = [{"tagging_id": place, **each} for place, each in enumerate(pictures)]
            connection.execute(filled, rows_)
    for first in range(1, rows + 1, PART):
        for engine in engines.values():
            with engine.begin() as connection:
                last = min(rows, first + PART - 1)
                given = {"first": first, "last": last, "pictures": len(pictures)}
                connection.execute(text(copied), given)


def _write(
    engines: Mapping[str, Engine],
    found: Mapping[str, Kept],
    pictures: Sequence[Picture],
    ids: Sequence[int],
) -> None:
    """Write the last ones as a worker does."""
    took: dict[str, list[float]] = {way: [] for way in engines}
    order = cycle([[ONE, HASH, RANGES], [HASH, RANGES, ONE], [RANGES, ONE, HASH]])
    for place, ways in zip(range(0, len(ids), BATCH), order, strict=False):
        some = ids[place : place + BATCH]
        batch = [{"tagging_id": each, **pictures[each % PICTURES]} for each in some]
        for way in ways:
            started = time.perf_counter()
            with sessions(engines[way]).begin() as session:
                statement, parameters = insert_many(session, Thumbnail, batch)
                session.execute(statement.on_conflict_do_nothing(), parameters)
            took[way].append(1000 * (time.perf_counter() - started))
    for way, kept in found.items():
        kept.write_ms = median(took[way])


def _picture() -> Picture:
    return {
        "overlay_jpeg": os.urandom(OVERLAY_BYTES),
        "class_map": os.urandom(CLASS_MAP_BYTES),
        "class_map_height": 7,
        "class_map_width": 7,
        "embedding": os.urandom(EMBEDDING_BYTES),
    }


def _read(engines: Mapping[str, Engine], found: Mapping[str, Kept], rows: int) -> None:
    rng = Random(0)  # noqa: S311 - places, no secrets
    took: dict[str, list[float]] = {way: [] for way in engines}
    for _ in range(READS):
        wanted = rng.randint(1, rows)
        for way, engine in engines.items():
            with reading(engine)() as session:
                started = time.perf_counter()
                session.execute(select(Thumbnail).where(Thumbnail.tagging_id == wanted)).one()
                took[way].append(1000 * (time.perf_counter() - started))
    for way, kept in found.items():
        kept.read_ms = median(took[way])


def _let_go(engine: Engine, way: str, rows: int) -> Iterator[float]:
    """Delete what nobody needs; milliseconds for which each step held rows or a table."""
    if way == RANGES:
        yield from (_write_anew(engine, number, rows) for number in range(PARTITIONS))
        return
    cursor, looked = 0, 1
    while looked:
        started = time.perf_counter()
        with sessions(engine).begin() as session:
            page = thumbnails_page(session, cursor, datetime.now(UTC))
            delete_thumbnails(session, page.tagging_ids)
        cursor, looked = page.cursor, page.looked
        yield 1000 * (time.perf_counter() - started)


def _write_anew(engine: Engine, number: int, rows: int) -> float:
    """Put what stays of a range in its place; milliseconds for which nobody could read it."""
    old, new = f"part_{number}", f"part_{number}_new"
    first, last = _range(number, rows)
    with engine.begin() as connection:
        # The check spares ATTACH to look through the rows while it holds the table.
        within = f"CHECK (tagging_id >= {first} AND tagging_id < {last})"
        connection.execute(
            text(f"CREATE TABLE {new} (LIKE {old} INCLUDING ALL, {REFERS}, {within})")
        )
        connection.execute(text(KEPT.format(old=old, new=new)))
    started = time.perf_counter()
    with engine.begin() as connection:
        connection.execute(text(f"ALTER TABLE thumbnails DETACH PARTITION {old}"))
        values = f"FOR VALUES FROM ({first}) TO ({last})"
        connection.execute(text(f"ALTER TABLE thumbnails ATTACH PARTITION {new} {values}"))
        connection.execute(text(f"DROP TABLE {old}"))
    return 1000 * (time.perf_counter() - started)


def _vacuum(engine: Engine) -> None:
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text("VACUUM ANALYZE thumbnails"))


def _gb(engine: Engine) -> float:
    """Of the table with its TOAST and indexes, or of all its partitions."""
    size = """
        SELECT pg_total_relation_size('thumbnails')
            + coalesce(sum(pg_total_relation_size(relid)) FILTER (WHERE level > 0), 0)
        FROM pg_partition_tree('thumbnails')
    """
    with reading(engine)() as session:
        return float(session.scalar(text(size)) or 0) / 1e9


def _count(engine: Engine) -> int:
    with reading(engine)() as session:
        return session.scalar(text("SELECT count(*) FROM thumbnails")) or 0


def _dropped(engine: Engine, way: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA IF EXISTS {WAYS[way]} CASCADE"))
    engine.dispose()


def render(found: Sequence[Kept]) -> str:
    """A table as Markdown."""
    lines = [
        f"| {found[0].rows:,} thumbnails | {BATCH} written | one read | let go | held at most "
        "| GB | GB after letting go, VACUUM | rows left |",
        "|" + "---|" * 8,
    ]
    lines += [
        f"| {each.way} | {each.write_ms:.1f} ms | {each.read_ms:.2f} ms | {each.let_go_s:.1f} s "
        f"| {each.held_ms:.0f} ms | {each.gb:.2f} | {each.gb_left:.2f} | {each.rows_left:,} |"
        for each in found
    ]
    return "\n".join(lines)
