import re
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text
from sqlalchemy.orm import Session

from db.base import Base
from db.engine import make_engine
from db.ledger.models import Model, Product
from db.migrate import (
    MIGRATIONS,
    SchemaError,
    current_revision,
    newest_revision,
    require_newest,
    upgrade,
)
from tests.databases import PostgresServer

OLDER_PRODUCT = """
INSERT INTO products (id, image_uri, status, publication, settled_publication, queue, attempts,
    deaths, last_trouble, created_at, queued_at, updated_at)
VALUES ('p1', 'file:///p1.jpg', 'queued', 'm2', 'm1', 'ingest', 1, 2, 'fetch_timeout',
    '2026-01-01 00:00:00', '2026-01-01 00:00:00', '2026-01-01 00:00:00')
"""


def words(condition: object) -> set[str]:
    """PostgreSQL shows `x IN ('a')` as `((x)::text = ANY (ARRAY['a'::character varying]))`."""
    return set(re.findall(r"[a-z_]{3,}", "" if condition is None else str(condition))) - {"where"}


def test_schema_of_the_migrations_is_the_schema_of_the_models(engine: Engine) -> None:
    found = inspect(engine)
    assert Model.__table__ in Base.metadata.sorted_tables
    for table in Base.metadata.sorted_tables:
        columns = {column["name"]: column["nullable"] for column in found.get_columns(table.name)}
        assert columns == {column.name: column.nullable for column in table.columns}
        indexes = {index["name"]: index for index in found.get_indexes(table.name)}
        assert {index.name for index in table.indexes} <= set(indexes)
        for index in table.indexes:
            made = indexes[index.name]
            where = made.get("dialect_options", {}).get(f"{engine.dialect.name}_where")
            assert index.unique == bool(made["unique"]), index.name
            assert words(index.info.get("where")) <= words(where), index.name
            assert ("where" in index.info) == (where is not None), index.name


def test_the_newest_revision_is_alembics_head() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [newest_revision()]


def test_empty_database_is_refused_with_what_to_do(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{tmp_path / 'empty.db'}")
    with pytest.raises(SchemaError, match=r"found no tables\. Run `tagger db upgrade`"):
        require_newest(engine)
    engine.dispose()


def test_upgrading_twice_changes_nothing(engine: Engine) -> None:
    upgrade(engine)
    assert current_revision(engine) == newest_revision()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_rows_of_an_older_version_keep_what_they_say(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if kind == "sqlite":
        rows_are_kept(f"sqlite:///{tmp_path / 'older.db'}")
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    with server.database(template=None) as url:
        rows_are_kept(url)


def rows_are_kept(url: str) -> None:
    engine = make_engine(url)
    upgrade(engine, to="0006")
    with engine.begin() as connection:
        connection.execute(text(OLDER_PRODUCT))
    upgrade(engine)
    with Session(engine) as session:
        row = session.get_one(Product, "p1")
        found = (row.message_id, row.settled_message_id, row.crashes, row.last_reason_code)
        assert found == ("m2", "m1", 2, "fetch_timeout")
    engine.dispose()
