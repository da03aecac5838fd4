"""Where the database, the broker and the state are: all that a command which looks must know.

The same variables as in catalog/settings.py, by the same rules, without pydantic: importing that
takes a fifth of the time of a short command.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from catalog.errors import SettingsError
from catalog.service_urls import check_broker_url, check_database_url

ENV_FILE = Path(".env")
HOME = Path(".tagger")


@dataclass(frozen=True, kw_only=True)
class Places:
    """Some of the settings, under their names there. The addresses may hold a password."""

    home: Path
    redis_url: str | None
    database_url: str | None
    events_stream: str | None

    def __repr__(self) -> str:
        return f"Places(home={self.home!r})"

    @property
    def database(self) -> str:
        """The SQLAlchemy URL in force."""
        return database_in_force(self.home, self.database_url)

    @property
    def queue_folder(self) -> Path:
        """Where the embedded broker keeps its append-only file and its socket."""
        return queue_folder(self.home)


def places() -> Places:
    """Read them from the environment and the .env file.

    Raises:
        SettingsError: an address is not usable; the message names the variable, and no part of it.
    """
    found = _variables()
    redis_url, database_url = found.get("redis_url"), found.get("database_url")
    try:
        name = "REDIS_URL"
        redis_url = redis_url and check_broker_url(redis_url)
        name = "DATABASE_URL"
        database_url = database_url and check_database_url(database_url)
    except ValueError as error:
        raise SettingsError(f"{name}: {error}. Correct or unset it.") from None
    return Places(
        home=Path(found.get("tagger_home", HOME)),
        redis_url=redis_url,
        database_url=database_url,
        events_stream=found.get("tagger_events_stream"),
    )


def database_in_force(home: Path, url: str | None) -> str:
    """The SQLAlchemy URL of DATABASE_URL, or of SQLite in the home folder."""
    if url is None:
        return f"sqlite:///{home.absolute() / 'catalog.db'}"
    # Other tools write postgres:// or postgresql://, which SQLAlchemy gives to psycopg2.
    for prefix in ("postgres://", "postgresql://"):
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url.removeprefix(prefix)
    return url


def queue_folder(home: Path) -> Path:
    """The embedded broker's folder."""
    return home.absolute() / "queue"


def _variables() -> Mapping[str, str]:
    """By lower-case name; an empty one counts as unset, the environment before the file."""
    found: dict[str, str] = {}
    for source in (_of_file(), os.environ):
        found |= {name.lower(): value for name, value in source.items() if value}
    return found


def _of_file() -> Mapping[str, str | None]:
    if not ENV_FILE.exists():
        return {}
    from dotenv import dotenv_values  # not for the many who have no such file

    return dotenv_values(ENV_FILE, encoding="utf-8")
