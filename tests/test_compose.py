"""The rules of docker-compose.yml that a queue's safety hangs on (no engine needed)."""

from pathlib import Path
from typing import Any

import pytest
import yaml

COMPOSE = Path(__file__).parents[1] / "docker-compose.yml"


@pytest.fixture
def services() -> dict[str, Any]:
    return yaml.safe_load(COMPOSE.read_text())["services"]


def test_all_parts_are_there_and_their_health_is_checked(services: dict[str, Any]) -> None:
    parts = {
        "redis",
        "postgres",
        "migrate",
        "ingest",
        "bulk",
        "upkeep",
        "beat",
        "metrics",
        "review",
    }
    assert parts <= set(services)
    for name in parts - {"migrate", "beat"}:
        assert services[name]["healthcheck"]["test"]


def test_health_of_a_worker_is_that_work_gets_done(services: dict[str, Any]) -> None:
    for name in ("ingest", "bulk", "upkeep"):
        assert services[name]["healthcheck"]["test"] == ["CMD-SHELL", "tagger health $$QUEUE"]


def test_broker_refuses_rather_than_forgets(services: dict[str, Any]) -> None:
    options = services["redis"]["command"]
    assert options[options.index("--maxmemory-policy") + 1] == "noeviction"
    assert options[options.index("--appendonly") + 1] == "yes"


def test_workers_wait_for_broker_and_schema(services: dict[str, Any]) -> None:
    for name in ("ingest", "bulk", "upkeep"):
        wanted = services[name]["depends_on"]
        assert wanted["redis"]["condition"] == "service_healthy"
        assert wanted["migrate"]["condition"] == "service_completed_successfully"
        assert services[name]["environment"]["QUEUE"] == name
        command = services[name]["command"]
        assert command[command.index("-Q") + 1] == name


def test_every_service_named_by_another_exists(services: dict[str, Any]) -> None:
    for service in services.values():
        assert set(service.get("depends_on", {})) <= set(services)
