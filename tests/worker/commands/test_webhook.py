"""`tagger webhook`, and where people see how receivers are doing."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine, select, update

from catalog.cli import main
from catalog.events import EventKind
from catalog.redaction import without_secrets
from catalog.settings import settings
from db.engine import reading, sessions
from db.events.writing import NewEvent, write
from db.webhooks import registering
from db.webhooks.models import Webhook, WebhookState
from tests.databases import migrated_sqlite
from worker.watch.exporter import SystemCollector
from worker.watch.health import all_queues, check_health

NOW = datetime(2026, 1, 1, tzinfo=UTC)
URL = "https://shop.example/hook?key=not-for-logs"


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = migrated_sqlite(settings().database)
    yield engine
    engine.dispose()


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(main, ["webhook", *arguments])


def row(engine: Engine) -> Webhook:
    with reading(engine)() as session:
        return session.scalars(select(Webhook)).one()


def test_life_of_a_webhook(engine: Engine) -> None:
    assert "tagger webhook add URL" in invoke("list").output
    made = invoke("add", URL, "--events", "decided, tagged")
    assert "Webhook 1 gets decided, tagged from now on." in made.output
    secret = row(engine).secret
    assert secret in made.output
    shown = invoke("list").output
    assert "https://shop.example/hook?…" in shown
    assert "not-for-logs" not in shown
    assert secret not in shown
    assert invoke("pause", "1").exit_code == 0
    assert row(engine).state == WebhookState.PAUSED.value
    assert json.loads(invoke("list", "--json").output)[0]["state"] == "paused"
    assert invoke("resume", "1").exit_code == 0
    rotated = invoke("rotate", "1").output
    found = row(engine)
    assert found.secret in rotated
    assert (found.former_secret, found.state) == (secret, WebhookState.ACTIVE.value)
    assert invoke("remove", "1").exit_code == 0
    assert json.loads(invoke("list", "--json").output) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("add", "ftp://shop.example/hook"), "Expected a URL"),
        (("add", "https://shop.example/hook", "--events", "tagged,sold"), "found sold"),
        (("add", "no address"), "Expected a URL"),
        (("pause", "7"), "found 7: there is none"),
        (("replay", "1", "--from", "9"), "Expected the number of an event"),
        (("replay", "1", "--from", "-1"), "Expected the number of an event"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(
    engine: Engine, arguments: tuple[str, ...], told: str
) -> None:
    found = invoke(*arguments)
    assert found.exit_code != 0
    assert told in re.sub(r"\s+", " ", found.output)


def test_replay_goes_back_to_an_event(engine: Engine) -> None:
    invoke("add", URL)
    with sessions(engine).begin() as session:
        write(session, [NewEvent(kind=EventKind.TAGGED, product_id="p")] * 3, NOW)
        session.execute(update(Webhook).values(cursor=3))
    assert "everything after event 1 again" in invoke("replay", "1", "--from", "1").output
    assert row(engine).cursor == 1


def test_there_are_no_more_than_threads_for_them(engine: Engine) -> None:
    with sessions(engine).begin() as session:
        for _ in range(registering.WEBHOOKS_MAX):
            registering.add(session, URL, [], NOW)
    assert "at most 50 webhooks" in invoke("add", URL).output


def test_stopped_one_is_told_by_status_health_and_metrics(engine: Engine) -> None:
    with sessions(engine).begin() as session:
        fine, bad = (registering.add(session, URL, [], NOW) for _ in range(2))
        write(session, [NewEvent(kind=EventKind.TAGGED, product_id="p")], NOW)
        fine.cursor = 1
        bad.state, bad.reason = WebhookState.STOPPED.value, "Failing since then: status 500."
        bad.failing_since = datetime.now(UTC) - timedelta(days=3)
    status = CliRunner().invoke(main, ["status"]).output
    assert "Webhooks       1 of 2 in trouble, number 2 stopped: Failing since then" in status
    checks = {each.name: each for each in check_health(settings(), engine, all_queues())}
    assert not checks["webhooks"].healthy
    assert "1 of 2 stopped: number 2 to https://shop.example/hook?…" in checks["webhooks"].detail
    # The upkeep itself is not broken by somebody else's server.
    assert "webhooks" not in {each.name for each in check_health(settings(), engine, ("upkeep",))}
    metrics = {each.name: each for each in SystemCollector(settings(), engine).collect()}
    values = {
        name: [each.value for each in metrics[f"tagger_webhook_{name}"].samples]
        for name in ("up", "behind_events", "failing_seconds")
    }
    assert values["up"] == [1.0, 0.0]
    assert values["behind_events"] == [0.0, 1.0]
    assert values["failing_seconds"][1] == pytest.approx(3 * 86_400, rel=0.01)


def test_secrets_are_left_out_of_logs(engine: Engine) -> None:
    invoke("add", URL)
    secret = row(engine).secret
    assert without_secrets(f"signed with {secret}, sent") == "signed with whsec_…, sent"
