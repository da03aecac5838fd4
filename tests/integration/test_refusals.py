"""A real worker with an unsafe setting stops at once and says which."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog.settings import SHIPPED_BUNDLE, environment, read_settings
from tests.databases import migrated_sqlite
from worker.broker import connect
from worker.local.embedded import EmbeddedBroker

pytestmark = pytest.mark.integration


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    broker = EmbeddedBroker(tmp_path / "queue")
    yield broker
    broker.stop()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    engine = migrated_sqlite(read_settings(home=home).database)
    engine.dispose()
    return home


def refusal(broker: EmbeddedBroker, home: Path, queue: str = "ingest", **changed: str) -> str:
    """What a worker says that stops; it has 60 s for it."""
    chosen = environment(read_settings(home=home, redis_url=broker.url)) | changed
    command = [sys.executable, "-m", "celery", "-A", "worker.app", "worker", "-Q", queue, "-c", "1"]
    done = subprocess.run(
        command, cwd=home, env=os.environ | chosen, capture_output=True, text=True, timeout=60
    )
    assert done.returncode != 0
    return done.stderr


def test_prefetch_below_the_batch_rule(broker: EmbeddedBroker, home: Path) -> None:
    said = refusal(broker, home, TAGGER_PREFETCH_MULTIPLIER="4")
    assert "Refusing to start: TAGGER_PREFETCH_MULTIPLIER=4" in said
    assert "Raise it to 128" in said


def test_visibility_timeout_under_the_worst_batch_time(broker: EmbeddedBroker, home: Path) -> None:
    said = refusal(broker, home, TAGGER_VISIBILITY_TIMEOUT_S="120")
    assert "Refusing to start: TAGGER_VISIBILITY_TIMEOUT_S=120" in said
    assert "Raise it to 450 at least" in said


def test_time_limit_that_a_slow_host_would_use_up(broker: EmbeddedBroker, home: Path) -> None:
    said = refusal(broker, home, queue="bulk", TAGGER_BATCH_TIME_LIMIT_S="30")
    assert "Refusing to start: TAGGER_BATCH_TIME_LIMIT_S=30" in said
    assert "Raise it to 40" in said


def test_broker_that_evicts(broker: EmbeddedBroker, home: Path) -> None:
    connect(broker.url).config_set("maxmemory-policy", "allkeys-lru")
    said = refusal(broker, home)
    assert "Refusing to start: maxmemory-policy=allkeys-lru" in said
    assert "CONFIG SET maxmemory-policy noeviction" in said


def test_database_behind_on_migrations(broker: EmbeddedBroker, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    assert "Run `tagger db upgrade`" in refusal(broker, tmp_path / "new")


def test_bundle_that_does_not_verify(broker: EmbeddedBroker, home: Path) -> None:
    bundle = home / "bundle"
    shutil.copytree(SHIPPED_BUNDLE, bundle)
    with (bundle / "reduced/model.tflite").open("ab") as model:
        model.write(b"\0")
    said = refusal(broker, home, TAGGER_BUNDLE=str(bundle))
    assert "Refusing to start: Expected sha256" in said
