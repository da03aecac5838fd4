"""What the commands of the review desk share."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager

import click
from sqlalchemy.orm import Session

from db import command_line
from db.review import queue as review_queue

AS = click.option(
    "--as", "name", envvar="TAGGER_REVIEWER", default=getpass.getuser, show_default="you",
    help="The reviewer who decides; also TAGGER_REVIEWER.",
)  # fmt: skip


@contextmanager
def writing() -> Iterator[Session]:
    """A transaction of its own, the queue filled.

    Raises:
        OperatorError: the database is away or behind.
    """
    with command_line.writing() as session:
        review_queue.fill(session)
        yield session
