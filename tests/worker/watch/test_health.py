"""Each check against real parts that are broken."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from catalog.bundle_store import BundleStore
from catalog.queues import INGEST_QUEUE
from catalog.settings import Settings, read_settings
from db.engine import sessions
from db.ledger.heartbeats import RECONCILER, beat
from db.registry.bundles import refuse
from tests.bundles import promote, register, variant
from tests.factories import job
from worker.broker import connect
from worker.client import EnqueueClient
from worker.local.embedded import EmbeddedBroker
from worker.watch.health import check_health


@pytest.fixture
def chosen(broker: EmbeddedBroker, database_url: str) -> Settings:
    return read_settings(redis_url=broker.url, database_url=database_url, batch_time_limit_s=60)


def bad(chosen: Settings, engine: Engine, *queues: str) -> dict[str, str]:
    checks = check_health(chosen, engine, queues)
    return {check.name: check.detail for check in checks if not check.healthy}


def sign_of_life(engine: Engine, kind: str, age_s: float) -> None:
    with sessions(engine).begin() as session:
        at = datetime.now(UTC) - timedelta(seconds=age_s)
        beat(session, f"{kind}@host", kind, at, {"model": "m"})


def test_empty_queue_and_sound_parts_are_healthy(chosen: Settings, engine: Engine) -> None:
    assert bad(chosen, engine, INGEST_QUEUE) == {}


def test_messages_that_nobody_takes_are_no_health(
    chosen: Settings, engine: Engine, broker: EmbeddedBroker
) -> None:
    EnqueueClient(engine, broker_url=broker.url).enqueue_singles([job("p1"), job("p2")])
    assert "no batch was ever begun" in bad(chosen, engine, INGEST_QUEUE)["ingest"]
    sign_of_life(engine, INGEST_QUEUE, age_s=500)
    assert "none for 500 s" in bad(chosen, engine, INGEST_QUEUE)["ingest"]
    sign_of_life(engine, INGEST_QUEUE, age_s=10)
    assert bad(chosen, engine, INGEST_QUEUE) == {}


def test_reconciler_that_stopped_is_told(chosen: Settings, engine: Engine) -> None:
    assert "never ran" in bad(chosen, engine, "upkeep")["reconciler"]
    sign_of_life(engine, RECONCILER, age_s=10)
    assert bad(chosen, engine, "upkeep") == {}
    sign_of_life(engine, RECONCILER, age_s=400)
    assert "it last ran 400 s ago" in bad(chosen, engine, "upkeep")["reconciler"]


def test_broker_that_evicts_or_refuses_writes_is_told(
    chosen: Settings, engine: Engine, broker: EmbeddedBroker
) -> None:
    client = connect(broker.url)
    client.config_set("maxmemory-policy", "allkeys-lru")
    assert "allkeys-lru" in bad(chosen, engine)["broker"]
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", "1")
    assert "memory" in bad(chosen, engine)["broker"].lower()


def test_broker_that_is_away_is_told(
    chosen: Settings, engine: Engine, broker: EmbeddedBroker
) -> None:
    broker.stop()
    assert set(bad(chosen, engine, INGEST_QUEUE)) == {"broker", "ingest"}


def test_missing_bundle_is_told(chosen: Settings, engine: Engine) -> None:
    wrong = chosen.model_copy(update={"bundle": chosen.home})
    assert "Expected a model bundle" in bad(wrong, engine)["bundle"]


def test_promoted_bundle_is_the_one_that_must_verify(
    chosen: Settings, engine: Engine, tmp_path: Path
) -> None:
    home = chosen.model_copy(update={"home": tmp_path})
    sha256 = register(home, engine, variant(tmp_path, "b"))
    promote(engine, sha256)
    (check,) = [each for each in check_health(home, engine, ()) if each.name == "bundle"]
    assert check.detail == "b verifies, promoted"
    shutil.rmtree(BundleStore(home.models_folder).path(sha256))
    assert "tagger model add" in bad(home, engine)["bundle"]


def test_bundle_that_a_worker_refuses_is_told_as_long_as_it_has_a_role(
    chosen: Settings, engine: Engine, tmp_path: Path
) -> None:
    home = chosen.model_copy(update={"home": tmp_path})
    sha256 = register(home, engine, variant(tmp_path, "b"))
    with sessions(engine).begin() as session:
        refuse(session, "bulk@host", sha256, "does not reproduce", datetime.now(UTC))
    assert bad(home, engine) == {}
    promote(engine, sha256)
    assert "bulk@host: does not reproduce" in bad(home, engine)["bundle"]
