"""INSERT … ON CONFLICT for both databases: one row, or many in one statement.

SQLAlchemy's dialects are imported at the first insert: whoever only reads needs one at most.
"""

import json
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, Column, String, Table, Text, bindparam, cast, column, func, select
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeEngine

from db.base import Base

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

Row = Mapping[str, Any]
# What session.execute takes beside a statement.
Parameters = list[dict[str, Any]] | dict[str, Any]


def insert(session: Session, model: type[Base]) -> "postgresql.Insert | sqlite.Insert":
    """An INSERT of the session's own dialect, which knows ON CONFLICT."""
    if session.get_bind().dialect.name == "postgresql":
        return _insert_into_postgresql(_table(model))
    return _insert_into_sqlite(_table(model))


def insert_many(
    session: Session, model: type[Base], rows: Sequence[Row]
) -> "tuple[postgresql.Insert | sqlite.Insert, Parameters]":
    """An INSERT of many rows, all with the same keys, and the parameters to execute it with.

    The statement's text does not hang on the number of rows, so that SQLAlchemy compiles it once
    and PostgreSQL plans it once: `INSERT … VALUES (…), (…), …` cost a millisecond an item in
    compiling alone. PostgreSQL unpacks one array a column (one round trip); SQLite's driver steps
    through the rows in C.
    """
    if session.get_bind().dialect.name != "postgresql":
        return _insert_into_sqlite(_table(model)), [dict(row) for row in rows]
    names = tuple(rows[0])
    table = _table(model)
    arrays = {_array(name): _values(table.c[name], rows) for name in names}
    return _insert_from_arrays(table, names), arrays


# Statements never change (each method returns another one), so they are kept, with the `excluded`
# that they make at its first use: making both anew costs a millisecond of CPU, at every batch.


@lru_cache(maxsize=64)
def _insert_into_sqlite(table: Table) -> "sqlite.Insert":
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table)


@lru_cache(maxsize=64)
def _insert_into_postgresql(table: Table) -> "postgresql.Insert":
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)


@lru_cache(maxsize=256)
def _insert_from_arrays(table: Table, names: tuple[str, ...]) -> "postgresql.Insert":
    from sqlalchemy.dialects import postgresql

    items = [
        bindparam(_array(name), type_=postgresql.ARRAY(_item(table.c[name]))) for name in names
    ]
    given = func.unnest(*items).table_valued(*(column(name) for name in names))
    given = given.render_derived(name="given")
    source = select(*(cast(given.c[name], _cast_to(table.c[name])) for name in names))
    return postgresql.insert(table).from_select(list(names), source)


def _values(wanted: Column[Any], rows: Sequence[Row]) -> list[Any]:
    found = [row[wanted.name] for row in rows]
    if isinstance(wanted.type, JSON):
        # As text, because an array of lists would be taken for an array of two dimensions.
        return [None if value is None else json.dumps(value) for value in found]
    return [value.value if isinstance(value, Enum) else value for value in found]


def _item(wanted: Column[Any]) -> TypeEngine[Any]:
    # A cast to varchar(n) would cut what is too long; the insert itself refuses it.
    return Text() if isinstance(wanted.type, String | JSON) else wanted.type


def _cast_to(wanted: Column[Any]) -> TypeEngine[Any]:
    return JSON() if isinstance(wanted.type, JSON) else _item(wanted)


def _array(name: str) -> str:
    return f"all_{name}"


def _table(model: type[Base]) -> Table:
    table = model.__table__
    assert isinstance(table, Table)
    return table
