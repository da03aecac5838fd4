from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect

from db.base import Base
from db.engine import make_engine
from db.migrate import SchemaError, current_revision, newest_revision, require_newest, upgrade


def test_schema_of_the_migrations_is_the_schema_of_the_models(engine: Engine) -> None:
    found = inspect(engine)
    for table in Base.metadata.sorted_tables:
        columns = {column["name"]: column["nullable"] for column in found.get_columns(table.name)}
        assert columns == {column.name: column.nullable for column in table.columns}
        indexes = {index["name"] for index in found.get_indexes(table.name)}
        assert {index.name for index in table.indexes} <= indexes


def test_empty_database_is_refused_with_what_to_do(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{tmp_path / 'empty.db'}")
    with pytest.raises(SchemaError, match=r"found no tables\. Run `tagger db upgrade`"):
        require_newest(engine)
    engine.dispose()


def test_upgrading_twice_changes_nothing(engine: Engine) -> None:
    upgrade(engine)
    assert current_revision(engine) == newest_revision()
