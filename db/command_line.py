"""The settings' database, opened for one command of the command line and closed after it."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from catalog.errors import OperatorError
from catalog.places import places
from db.engine import make_engine, reading, sessions
from db.migrate import require_newest


@contextmanager
def database() -> Iterator[Engine]:
    """The database on the newest schema, for a command that makes its own transactions.

    Raises:
        OperatorError: it is behind, or does not answer, at the start or in the middle.
    """
    engine = make_engine(places().database)
    try:
        require_newest(engine)
        yield engine
    except DBAPIError as error:
        shown = engine.url.render_as_string()
        raise OperatorError(f"Expected the database {shown} to answer: {error.orig}") from error
    finally:
        engine.dispose()


@contextmanager
def writing() -> Iterator[Session]:
    """One transaction that is committed at the end; after an error nothing was changed.

    Raises:
        OperatorError: as `database`.
    """
    with database() as engine, sessions(engine).begin() as session:
        yield session


@contextmanager
def looking() -> Iterator[Session]:
    """A session that only reads, and so keeps no worker waiting.

    Raises:
        OperatorError: as `database`.
    """
    with database() as engine, reading(engine)() as session:
        yield session
