"""A made-up ledger of any size, as a year of tagging leaves it: written by the database itself."""

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, insert, text
from sqlalchemy.orm import Session

from catalog.bundle import read_manifest
from catalog.settings import SHIPPED_BUNDLE
from catalog.taxonomy.document import to_fields
from db.engine import sessions
from db.ledger.mending import check_counts
from db.ledger.models import Model, Thumbnail

PART = 100_000
FORMER = "synthetic-1"
TAGGED_AT = datetime(2026, 1, 1, tzinfo=UTC)

NUMBERS = {
    "sqlite": "(WITH RECURSIVE g(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM g "
    "WHERE n < :last) SELECT n FROM g)",
    "postgresql": "(SELECT n FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) "
    "AS g(n))",
}
ID = {
    "sqlite": "'sku-' || printf('%010d', n)",
    "postgresql": "'sku-' || lpad(CAST(n AS text), 10, '0')",
}
HEX = {"sqlite": "lower(hex(randomblob(16)))", "postgresql": "md5(CAST(n AS text))"}
# 97 of 100 accepted, 2 wait for a person, 1 failed.
PRODUCTS = """
INSERT INTO products (id, image_uri, status, message_id, settled_message_id, queue, attempts,
    crashes, current_tagging_id, last_model_version, last_tagged_at, image_validator, created_at,
    queued_at, updated_at)
SELECT id, {image_uri},
    CASE WHEN n % 100 = 0 THEN 'failed' WHEN n % 100 < 3 THEN 'needs_review' ELSE 'tagged' END,
    'accepted-' || h, 'accepted-' || h, 'bulk', 1, 0, n, :model, :at,
    'etag' || substr(h, 1, 16) || '"' || substr(h, 1, 18) || '"', :at, :at, :at
FROM (SELECT n, {id} AS id, {hex} AS h FROM {numbers} AS numbers) AS rows
"""
TAGGINGS = """
INSERT INTO taggings (id, product_id, image_sha256, model_version, label, confidence, confidences,
    runner_up, runner_up_confidence, out_of_taxonomy_score, flagged, reasons, tagged_at)
SELECT n, id, h || h, :model, {label}, 0.5 + 0.4999 * (n % 1000) / 1000.0,
    {confidences}, {runner_up}, 0.013998, -4.2, n % 100 < 3, {reasons}, :at
FROM (SELECT n, {id} AS id, {hex} AS h FROM {numbers} AS numbers) AS rows
"""


def fill(
    engine: Engine,
    rows: int,
    *,
    thumbnails: int = 0,
    overlay_bytes: int = 3000,
    files: Sequence[str] = (),
    statistics: bool = True,
) -> None:
    """Write products and their taggings, thumbnails of the first so many, and statistics.

    files: URIs that the products share in turn; without any, each has one of its own. statistics:
    tell the planner of it, which on SQLite nothing does by itself.
    """
    taxonomy = read_manifest(SHIPPED_BUNDLE).taxonomy
    with sessions(engine).begin() as session:
        session.add(
            Model(
                version=FORMER,
                labels=list(taxonomy.ids),
                taxonomy=to_fields(taxonomy),
                taxonomy_name=taxonomy.name,
                taxonomy_version=taxonomy.version,
                manifest={},
                created_at="2025-01-01T00:00:00+00:00",
                first_used_at=TAGGED_AT,
            )
        )
    for statement in statements(engine.dialect.name, taxonomy.ids, files):
        for first in range(1, rows + 1, PART):
            last = min(rows, first + PART - 1)
            with sessions(engine).begin() as session:
                _without_triggers(session)
                session.execute(
                    text(statement),
                    {"first": first, "last": last, "model": FORMER, "at": _at(engine)},
                )
    if engine.dialect.name == "postgresql":  # the ids above were given, not drawn
        with sessions(engine).begin() as session:
            draw = "SELECT setval(pg_get_serial_sequence('taggings', 'id'), max(id)) FROM taggings"
            session.execute(text(draw))
    _fill_thumbnails(engine, min(rows, thumbnails), overlay_bytes)
    # No trigger counted them, or could: products came before the taggings that they name.
    check_counts(engine, mend=True)
    if statistics:
        analyse(engine)


def statements(dialect: str, labels: Sequence[str], files: Sequence[str] = ()) -> Iterator[str]:
    """INSERT … SELECT over :first to :last, products before taggings."""
    cases = " ".join(f"WHEN {number} THEN '{label}'" for number, label in enumerate(labels))
    shares = [0.981223, 0.004312, *[0.000321] * (len(labels) - 2)]
    confidences = f"'{shares}'"
    reasons = "CASE WHEN n % 100 < 3 THEN '[\"low_confidence\"]' ELSE '[]' END"
    given = {"numbers": NUMBERS[dialect], "id": ID[dialect], "hex": HEX[dialect]}
    label = f"CASE n % {len(labels)} {cases} END"
    if dialect == "postgresql":  # which does not take JSON from text by itself
        reasons, confidences = f"CAST({reasons} AS json)", f"CAST({confidences} AS json)"
    yield PRODUCTS.format(**given, image_uri=_uri(files))
    yield TAGGINGS.format(
        **given,
        label=label,
        runner_up=f"'{labels[1]}'",
        reasons=reasons,
        confidences=confidences,
    )


def _without_triggers(session: Session) -> None:
    """Let PostgreSQL neither count nor look up foreign keys, which takes most of ten million."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SET LOCAL session_replication_role = replica"))
        session.execute(text("SET LOCAL synchronous_commit = off"))


def _uri(files: Sequence[str]) -> str:
    if not files:
        return "'https://images.example.com/catalog/2026/' || id || '/front-1200x1600.jpg'"
    cases = " ".join(f"WHEN {number} THEN {_quoted(uri)}" for number, uri in enumerate(files))
    return f"CASE n % {len(files)} {cases} END"


def _quoted(value: str) -> str:
    # A colon would begin a parameter.
    return "'" + value.replace("'", "''").replace(":", r"\:") + "'"


def analyse(engine: Engine) -> None:
    """Tell the planner what is there."""
    connection = engine.raw_connection()
    driver: Any = connection.driver_connection
    if engine.dialect.name == "postgresql":
        driver.autocommit = True  # VACUUM wants no transaction
        driver.execute("VACUUM ANALYZE")
    else:
        driver.execute("ANALYZE")
    connection.invalidate()


def _fill_thumbnails(engine: Engine, count: int, overlay_bytes: int) -> None:
    for first in range(1, count + 1, 1000):
        rows = [
            {
                "tagging_id": number,
                "overlay_jpeg": os.urandom(overlay_bytes),
                "class_map": os.urandom(980),
                "class_map_height": 7,
                "class_map_width": 7,
                "embedding": os.urandom(192),
            }
            for number in range(first, min(count, first + 999) + 1)
        ]
        with sessions(engine).begin() as session:
            session.execute(insert(Thumbnail), rows)


def _at(engine: Engine) -> object:
    # Raw SQL bypasses the column's type: SQLite stores what SQLAlchemy would.
    if engine.dialect.name == "postgresql":
        return TAGGED_AT
    return TAGGED_AT.strftime("%Y-%m-%d %H:%M:%S.%f")


def count(session: Session, table: str) -> int:
    """Rows of a table."""
    return int(session.scalar(text(f"SELECT count(*) FROM {table}")) or 0)  # noqa: S608
