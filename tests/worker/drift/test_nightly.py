"""When the nights are planned, and where people see what they found."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine

from catalog.cli import main
from catalog.errors import SettingsError
from catalog.queues import UPKEEP_QUEUE, WATCH_DRIFT
from catalog.settings import read_settings, settings
from db.engine import sessions
from tests.databases import migrated_sqlite
from tests.days import a_picture, write
from worker.drift.nightly import schedule
from worker.watch.exporter import SystemCollector


@pytest.fixture
def sqlite_engine() -> Iterator[Engine]:
    engine = migrated_sqlite(settings().database)
    yield engine
    engine.dispose()


def invoke(*arguments: str) -> Any:
    found = CliRunner().invoke(main, arguments, catch_exceptions=False)
    return found.output


def test_the_night_is_one_of_the_upkeeps() -> None:
    planned = schedule(read_settings())["watch-drift"]
    assert planned["task"] == WATCH_DRIFT
    assert planned["options"]["queue"] == UPKEEP_QUEUE
    assert (planned["schedule"].hour, planned["schedule"].minute) == ({3}, {30})
    assert schedule(read_settings(drift_at="never")) == {}
    with pytest.raises(SettingsError, match="TAGGER_DRIFT_AT='25:00'"):
        read_settings(drift_at="25:00")


def test_what_moved_is_on_the_command_line_in_status_and_in_metrics(sqlite_engine: Engine) -> None:
    assert "No day was compared yet" in invoke("drift")
    yesterday = datetime.now(UTC).replace(hour=12) - timedelta(days=1)
    with sessions(sqlite_engine).begin() as session:
        write(
            session,
            [
                a_picture(
                    yesterday - timedelta(days=day),
                    label="bag" if day and number % 2 else "hat",
                    confidence=0.5 + number / 200,
                )
                for day in range(10)
                for number in range(80)
            ],
        )
    shown = invoke("drift", "--now")
    assert "80 items tagged by test-1, 4 comparisons" in shown
    assert "a.example" in shown
    assert "hat 50.0 % → 100.0 %" in shown
    found = json.loads(invoke("drift", "--json"))
    assert [(each["host"], each["measure"]) for each in found["findings"]] == [
        ("a.example", "label"), ("all hosts", "label"),
    ]  # fmt: skip
    status = CliRunner().invoke(main, ["status"]).output
    assert (
        f"Drift          2 of 4 comparisons moved on {yesterday.date()}, most the label" in status
    )
    metrics = {each.name: each for each in SystemCollector(settings(), sqlite_engine).collect()}
    moved = {
        (each.labels["host"], each.labels["measure"]): each.value
        for each in metrics["tagger_drift_moved"].samples
    }
    assert moved == {("a.example", "label"): 0.5, ("all hosts", "label"): 0.5}
