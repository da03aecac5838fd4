"""Bringing a database to the newest schema with Alembic."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from catalog.errors import OperatorError

MIGRATIONS = Path(__file__).parent / "migrations"


class SchemaError(OperatorError):
    """The database's schema is not the one this version was written for."""


def upgrade(engine: Engine, *, to: str = "head") -> None:
    """Apply every migration up to this revision that the database has not seen."""
    with engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, to)


def newest_revision() -> str | None:
    """The revision this version of the code was written for."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def current_revision(engine: Engine) -> str | None:
    """The revision the database is at; None when it has no tables of ours."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def require_newest(engine: Engine) -> None:
    """Raise SchemaError unless the database is at the newest revision."""
    current, newest = current_revision(engine), newest_revision()
    if current != newest:
        raise SchemaError(
            f"Expected the database {engine.url.render_as_string()} at schema revision {newest}, "
            f"found {current or 'no tables'}. Run `tagger db upgrade`."
        )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config
