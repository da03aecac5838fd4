"""The rules of docker-compose.yml that a queue's safety hangs on (no engine needed)."""

import re
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from catalog.settings import read_settings

COMPOSE = Path(__file__).parents[1] / "docker-compose.yml"

APPLICATION = ("migrate", "ingest", "bulk", "upkeep", "beat", "review", "metrics")


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


def test_desk_tells_visitors_apart_behind_its_proxy(services: dict[str, Any]) -> None:
    variables = services["review"]["environment"]
    given = {
        name.removeprefix("TAGGER_").lower(): value.partition(":-")[2].rstrip("}")
        for name, value in variables.items()
        if name in ("TAGGER_REVIEW_NAMES", "TAGGER_REVIEW_PROXIES")
    }
    chosen = read_settings(**given)
    believed = [ip_network(network) for network in chosen.review_proxies]
    # What comes in by the published port comes from the gateway of a network of Docker's.
    for gateway in ("172.17.0.1", "172.31.0.1", "192.168.0.1"):
        assert any(ip_address(gateway) in network for network in believed), gateway
    assert not any(ip_address("203.0.113.7") in network for network in believed)
    assert chosen.review_names  # no other name is answered, and cookies are Secure


def test_nothing_starts_with_a_password_that_everybody_knows() -> None:
    text = COMPOSE.read_text()
    for name in ("POSTGRES_PASSWORD", "REDIS_PASSWORD"):
        uses = re.findall(rf"\$\{{{name}(.*?)\}}", text)
        assert len(uses) >= 2
        assert all(use.startswith(":?") for use in uses)  # compose stops where it is not set


def test_the_broker_asks_for_its_password_and_its_users_have_it(services: dict[str, Any]) -> None:
    command = services["redis"]["command"]
    password = command[command.index("--requirepass") + 1]
    assert services["redis"]["environment"]["REDISCLI_AUTH"] == password
    for name in APPLICATION:
        assert services[name]["environment"]["REDIS_URL"] == f"redis://:{password}@redis:6379/0"
        assert services[name]["environment"]["DATABASE_URL"].startswith("postgresql://tagger:${")
    assert "ports" not in services["redis"]
    assert "ports" not in services["postgres"]


def test_no_service_can_gain_rights_or_write_outside_its_volumes(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "cap_add"} & set(service), name
        assert any(each.startswith("/tmp:") for each in service["tmpfs"]), name
        # Our images have a user of their own; the others would start as root.
        assert name in APPLICATION or service["user"] in ("redis", "postgres"), name


def test_neither_image_runs_as_root() -> None:
    stages = re.split(r"^FROM ", (COMPOSE.parent / "Dockerfile").read_text(), flags=re.MULTILINE)
    for stage in ("training", "serving"):
        (text,) = (each for each in stages if each.startswith(f"base AS {stage}\n"))
        assert re.findall(r"^USER (.*)$", text, re.MULTILINE)[-1:] == ["tagger"], stage
