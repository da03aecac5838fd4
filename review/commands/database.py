"""The database behind the commands."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager

import click
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from catalog.errors import OperatorError
from catalog.settings import settings
from db.engine import make_engine, reading, sessions
from db.migrate import require_newest
from db.review import queue as review_queue

AS = click.option(
    "--as", "name", envvar="TAGGER_REVIEWER", default=getpass.getuser, show_default="you",
    help="The reviewer who decides; also TAGGER_REVIEWER.",
)  # fmt: skip


@contextmanager
def writing() -> Iterator[Session]:
    """A transaction on the newest schema, the queue filled.

    Raises:
        OperatorError: the database is away or behind.
    """
    engine = make_engine(settings().database)
    try:
        require_newest(engine)
        with sessions(engine).begin() as session:
            review_queue.fill(session)
            yield session
    except DBAPIError as error:
        raise OperatorError(
            f"Expected the database to take the change; nothing was changed: {error.orig}"
        ) from error
    finally:
        engine.dispose()


@contextmanager
def looking() -> Iterator[Session]:
    """A session that only reads.

    Raises:
        OperatorError: the database is away or behind.
    """
    engine = make_engine(settings().database)
    try:
        require_newest(engine)
        with reading(engine)() as session:
            yield session
    except DBAPIError as error:
        raise OperatorError(f"Expected the database to answer: {error.orig}") from error
    finally:
        engine.dispose()
