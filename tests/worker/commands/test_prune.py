"""`tagger prune`, as a person types it."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine, func, select

from catalog.cli import main
from db.engine import reading, sessions
from db.ledger.models import Tagging, Thumbnail
from db.ledger.recording import record_model
from tests.databases import migrated_sqlite
from tests.factories import flagged, manifest, record, tagged

OLD = datetime.now(UTC) - timedelta(days=100)


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    url = f"sqlite:///{tmp_path / 'catalog.db'}"
    monkeypatch.setenv("DATABASE_URL", url)
    engine = migrated_sqlite(url)
    with sessions(engine).begin() as session:
        record_model(session, manifest(), OLD)
        record_model(session, manifest(model_version="test-2"), OLD)
        record(session, [tagged(f"p{n}") for n in range(600)], OLD)
        record(session, [flagged("waits")], OLD)
        record(session, [tagged("p7", model_version="test-2")], datetime.now(UTC))
    yield engine
    engine.dispose()


def prune(*arguments: str) -> dict[str, dict[str, int]]:
    done = CliRunner().invoke(main, ["prune", "--json", *arguments])
    assert done.exit_code == 0, done.output
    found: dict[str, dict[str, int]] = json.loads(done.stdout)
    return found


def rows(engine: Engine, table: type) -> int:
    with reading(engine)() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def test_dry_run_deletes_nothing(engine: Engine) -> None:
    found = prune("--thumbnails", "90d", "--taggings", "90d", "--dry-run")
    assert found["thumbnails"] == {"looked": 602, "deleted": 600, "bytes": 0}
    assert found["taggings"] == {"looked": 602, "deleted": 1, "bytes": 0}
    assert (rows(engine, Thumbnail), rows(engine, Tagging)) == (602, 602)


def test_what_was_counted_is_deleted_page_by_page(engine: Engine) -> None:
    assert prune("--taggings", "90d")["taggings"]["deleted"] == 1
    assert prune("--thumbnails", "90d")["thumbnails"]["deleted"] == 599
    assert (rows(engine, Thumbnail), rows(engine, Tagging)) == (2, 601)
    assert prune("--thumbnails", "90d")["thumbnails"]["deleted"] == 0


def test_pruning_without_an_age_is_refused(engine: Engine) -> None:
    done = CliRunner().invoke(main, ["prune"])
    assert done.exit_code == 2
    assert "Say what to delete" in done.output
