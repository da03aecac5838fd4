"""Places are read by the rules of the settings, without reading all of them."""

from pathlib import Path

import pytest

from catalog.errors import SettingsError
from catalog.places import places
from catalog.settings import read_settings

FILE = """
# where things are
TAGGER_HOME=from/file
export REDIS_URL="redis://me:pa%23ss@file:6379/2"  # quoted
database_url=postgresql://db/from-file
TAGGER_EVENTS_STREAM=
"""


@pytest.mark.parametrize("file", ["", FILE])
@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"TAGGER_HOME": "/srv/tagger", "DATABASE_URL": "postgres://db/catalog"},
        {"tagger_home": "/srv/lower", "Redis_Url": "unix:///srv/queue/socket?db=1"},
        {"REDIS_URL": "", "TAGGER_HOME": "", "TAGGER_EVENTS_STREAM": "events"},
        {"DATABASE_URL": "sqlite:////srv/who@work/a#b.db"},
    ],
)
def test_places_are_those_of_the_settings(
    variables: dict[str, str], file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TAGGER_HOME")
    (tmp_path / ".env").write_text(file)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found, chosen = places(), read_settings()
    assert (found.home, found.redis_url, found.database_url, found.events_stream) == (
        chosen.home, chosen.redis_url, chosen.database_url, chosen.events_stream,
    )  # fmt: skip
    assert (found.database, found.queue_folder) == (chosen.database, chosen.queue_folder)


@pytest.mark.parametrize("name", ["REDIS_URL", "DATABASE_URL"])
def test_an_unusable_address_is_refused_as_by_the_settings_and_not_shown(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "rediss://me:S3#CRET@broker")
    with pytest.raises(SettingsError) as mine:
        places()
    with pytest.raises(SettingsError) as theirs:
        read_settings()
    assert str(mine.value) == str(theirs.value)
    assert "S3" not in str(mine.value)


def test_what_is_read_shows_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:S3CRET@broker")
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:S3CRET@db/catalog")
    assert "S3" not in repr(places())
