"""What Prometheus is told of models comes from the registry."""

from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine

from catalog.settings import read_settings
from db import model_registry as registry
from db.engine import sessions
from db.registry_models import Role
from tests.bundles import promote, register, variant
from worker.embedded import EmbeddedBroker
from worker.exporter import SystemCollector

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_roles_and_refusals_are_gauges(
    engine: Engine, database_url: str, broker: EmbeddedBroker, tmp_path: Path
) -> None:
    chosen = read_settings(home=tmp_path, database_url=database_url, redis_url=broker.url)
    serving, tried = (register(chosen, engine, variant(tmp_path, name)) for name in ("b", "c"))
    promote(engine, serving)
    with sessions(engine).begin() as session:
        found = registry.find(session, tried)
        registry.try_out(session, Role.SHADOW, found, 0.2, by="t", now=NOW)
        registry.refuse(session, "bulk@host", tried, "spoilt", NOW)
        registry.refuse(session, "bulk@host", "f" * 64, "of no use to anyone any more", NOW)
    metrics = {each.name: each for each in SystemCollector(chosen, engine).collect()}
    shares = {
        (each.labels["role"], each.labels["version"]): each.value
        for each in metrics["tagger_model_share"].samples
    }
    assert shares == {("serving", "b"): 1.0, ("shadow", "c"): 0.2}
    assert [each.value for each in metrics["tagger_bundles_refused"].samples] == [1.0]
