"""A pace is measured of runs that go on."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine

from db.engine import sessions
from db.ledger import accepting
from db.retag import runs as retag_runs
from db.retag.models import RunState
from db.retag.selection import Selection
from lab.retag import require_going_on
from tests.factories import job
from worker.retag.starting import progress_of


def a_run(engine: Engine, *, looked: int) -> int:
    now = datetime.now(UTC)
    with sessions(engine).begin() as session:
        accepting.accept(session, [job("a"), job("b")], now)
        run = retag_runs.plan(
            session, Selection(everything=True), now, model_version="m2", who="test"
        )
        session.flush()
        run.state, run.looked = RunState.RUNNING, looked
        return run.id


def test_a_run_that_goes_on_is_measured(engine: Engine) -> None:
    require_going_on(progress_of(engine, a_run(engine, looked=1)))


def test_a_run_that_paused_itself_is_no_figure(engine: Engine) -> None:
    run_id = a_run(engine, looked=1)
    with sessions(engine).begin() as session:
        retag_runs.move(
            session, run_id, RunState.PAUSED, allowed=(RunState.RUNNING,), why="96 % changed"
        )

    with pytest.raises(RuntimeError, match=r"paused: 96 % changed"):
        require_going_on(progress_of(engine, run_id))


def test_a_run_that_has_published_all_is_no_figure(engine: Engine) -> None:
    with pytest.raises(RuntimeError, match="take more products"):
        require_going_on(progress_of(engine, a_run(engine, looked=2)))
