"""A real upkeep process posts; killed in the middle of it, it loses nothing."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from catalog.events import EventKind
from catalog.settings import read_settings
from db.engine import sessions
from db.events.writing import NewEvent, write
from db.webhooks import registering
from db.webhooks.delivering import BATCH_MAX
from tests.receiver import Handler, receiving
from worker.local.embedded import EmbeddedBroker
from worker.local.processes import stop
from worker.local.stack import LocalStack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
PATIENCE_S = 120.0


@pytest.fixture
def upkeep(database_url: str, tmp_path: Path) -> Iterator[LocalStack]:
    """The upkeep and its clock, without workers."""
    broker = EmbeddedBroker(tmp_path / "queue")
    chosen = read_settings(
        home=tmp_path / "home",
        database_url=database_url,
        redis_url=broker.url,
        allowed_networks=("127.0.0.0/8",),
    )
    chosen.home.mkdir()
    system = LocalStack(chosen)
    system.start_workers(())
    yield system
    stop(list(system.workers.values()), grace_s=30)
    broker.stop()


def happen(engine: Engine, count: int) -> None:
    with sessions(engine).begin() as session:
        event = NewEvent(kind=EventKind.TAGGED, product_id="p1", payload={"label": "bag"})
        write(session, [event] * count, datetime.now(UTC))


def test_upkeep_killed_while_it_posts_loses_nothing_and_doubles_under_the_same_id(
    upkeep: LocalStack, engine: Engine
) -> None:
    """The receiver has the second batch and says nothing; the upkeep dies; another goes on."""

    def answer(handler: Handler, number: int) -> None:
        if number == 1:
            time.sleep(60)
        else:
            handler.status(204)

    with receiving(answer) as receiver:
        with sessions(engine).begin() as session:
            registering.add(session, receiver.url, [], datetime.now(UTC))
        happen(engine, BATCH_MAX + 20)
        wait_until(upkeep, lambda: len(receiver.posts) == 2)
        upkeep.workers["upkeep"].kill()
        upkeep.workers["upkeep"].wait()
        happen(engine, 5)
        assert upkeep.restart_dead() == ["upkeep"]
        wait_until(upkeep, lambda: len(receiver.numbers) == BATCH_MAX + 25)
    assert receiver.numbers == list(range(1, BATCH_MAX + 26))
    first, again = receiver.posts[1], receiver.posts[2]
    assert first.headers["webhook-id"] == again.headers["webhook-id"]
    assert json.loads(first.body) == json.loads(again.body)


def wait_until(upkeep: LocalStack, true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        upkeep.require_alive()
        assert time.monotonic() < deadline, upkeep.log("upkeep").read_text()[-2000:]
        time.sleep(0.05)
