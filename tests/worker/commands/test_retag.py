"""`tagger retag`, as a person types it."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine

from catalog.cli import main
from catalog.settings import settings
from db.engine import sessions
from db.retag import runs as retag_runs
from db.retag.models import RunState
from db.retag.selection import parse_selection
from tests.databases import migrated_sqlite
from worker.local.embedded import EmbeddedBroker

Tagger = Callable[..., Result]


@pytest.fixture
def engine(broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setenv("REDIS_URL", broker.url)
    engine = migrated_sqlite(settings().database)
    yield engine
    engine.dispose()


@pytest.fixture
def tagger(engine: Engine) -> Tagger:
    return lambda *arguments: CliRunner().invoke(main, ["retag", *arguments])


def planned(engine: Engine, text: str = "all", **fields: object) -> str:
    with sessions(engine).begin() as session:
        run = retag_runs.plan(
            session, parse_selection(text), datetime.now(UTC), model_version="m", who="ann"
        )
        for name, value in fields.items():
            setattr(run, name, value)
        session.flush()
        return str(run.id)


def test_terminal_waits_while_another_publisher_has_the_run(engine: Engine, tagger: Tagger) -> None:
    tagger("start", "--all", "--background")
    with sessions(engine).begin() as session:
        (run,) = retag_runs.open_runs(session)
        run.state, run.leased_by = RunState.RUNNING, "elsewhere:1:x"
        run.leased_until = datetime.now(UTC) + timedelta(seconds=1)
    assert json.loads(tagger("resume", "1", "--json").stdout)["state"] == "finished"


def test_run_that_is_over_cannot_be_paused_resumed_or_cancelled(
    engine: Engine, tagger: Tagger
) -> None:
    run_id = planned(engine, state=RunState.FINISHED)
    for verb in ("pause", "resume", "cancel"):
        refused = tagger(verb, run_id)
        assert refused.exit_code == 1
        assert "found it finished" in refused.stderr
    assert "Expected a run 99, found none" in tagger("show", "99").stderr


def test_paused_run_says_why_and_is_listed(engine: Engine, tagger: Tagger) -> None:
    run_id = planned(engine, "label=bag", state=RunState.PAUSED, last_error="Too many changes.")
    assert "Too many changes." in tagger("show", run_id).stdout
    assert "label=bag" in tagger("list").stdout
    assert json.loads(tagger("list", "--json").stdout)[0]["last_error"] == "Too many changes."
    assert "cancelled" in tagger("cancel", run_id).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Expected a selection"),
        (["--all", "--older-model"], "Expected a selection"),
        (["--label", "Coatz"], "found Coatz"),
        (["--older-than", "soon"], "Expected an age such as 30d"),
    ],
)
def test_selection_of_nothing_is_refused_and_leaves_no_run(
    tagger: Tagger, arguments: list[str], said: str
) -> None:
    refused = tagger("start", *arguments)
    assert refused.exit_code == 1
    assert said in refused.stderr
    assert "No run yet" in tagger("list").stdout


def test_run_over_nothing_says_so_in_the_terminal_and_in_its_report(tagger: Tagger) -> None:
    assert "nothing to do" in tagger("start", "--all").stdout
    assert "nothing to do" in tagger("report", "1").stdout
