"""Bringing a database to the newest schema with Alembic.

Whether it is there already is told without Alembic: every process asks at its start, and importing
that takes a tenth of its time.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from catalog.errors import OperatorError

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"


class SchemaError(OperatorError):
    """The database's schema is not the one this version was written for."""


def upgrade(engine: Engine, *, to: str = "head") -> None:
    """Apply every migration up to this revision that the database has not seen."""
    if to == "head" and current_revision(engine) == newest_revision():
        return
    from alembic import command  # see the module's docstring

    with engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, to)


def newest_revision() -> str:
    """The revision this version of the code was written for: the last of one line of files."""
    return max(path.name for path in (MIGRATIONS / "versions").glob("[0-9]*.py")).partition("_")[0]


def current_revision(engine: Engine) -> str | None:
    """The revision the database is at; None when it has no tables of ours."""
    with engine.connect() as connection:
        try:
            found = connection.scalar(text("SELECT version_num FROM alembic_version"))
        except DBAPIError:  # asked afterwards only: looking into the catalogs first takes longer
            connection.rollback()
            if inspect(connection).has_table("alembic_version"):
                raise
            return None
        return None if found is None else str(found)


def require_newest(engine: Engine) -> None:
    """Raise SchemaError unless the database is at the newest revision."""
    current, newest = current_revision(engine), newest_revision()
    if current != newest:
        raise SchemaError(
            f"Expected the database {engine.url.render_as_string()} at schema revision {newest}, "
            f"found {current or 'no tables'}. Run `tagger db upgrade`."
        )


def _config() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config
