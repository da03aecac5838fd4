"""The Redis stream, on a real Valkey."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from click.testing import CliRunner
from sqlalchemy import Engine, delete

from catalog.cli import main
from catalog.events import EventKind
from catalog.settings import Settings, read_settings, settings
from db.engine import reading, sessions
from db.events.cursors import place
from db.events.models import EventCursor, EventRow
from db.events.numbering import number_new
from db.events.writing import NewEvent, write
from worker.broker import connect
from worker.events import stream as streams
from worker.events.stream import EventStream, StreamError
from worker.events.tending import EventTender, schedule
from worker.local.embedded import EmbeddedBroker

NAME = "catalog:events"
NOW = datetime.now(UTC)


@pytest.fixture
def client(broker: EmbeddedBroker) -> Iterator[redis.Redis]:
    client = connect(broker.url)
    yield client
    client.close()


@pytest.fixture
def chosen() -> Settings:
    return read_settings(events_stream=NAME, events_days=3)


def happen(engine: Engine, *product_ids: str, at: datetime = NOW) -> None:
    for product_id in product_ids:
        event = NewEvent(kind=EventKind.TAGGED, product_id=product_id, payload={"label": "bag"})
        with sessions(engine).begin() as session:
            write(session, [event], at)


def entries(client: redis.Redis) -> list[tuple[str, dict[str, str]]]:
    found: Any = client.xrange(NAME)
    return [
        (id_.decode(), {key.decode(): value.decode() for key, value in fields.items()})
        for id_, fields in found
    ]


def test_events_come_once_each_in_order_under_their_ids(
    engine: Engine, client: redis.Redis, chosen: Settings
) -> None:
    tender = EventTender(engine, client, chosen)
    happen(engine, "p1", "p2")
    tender.run()
    happen(engine, "p3")
    for _ in range(2):
        tender.run()
    found = entries(client)
    assert [id_ for id_, _ in found] == ["1-1", "2-1", "3-1"]
    assert [fields["product_id"] for _, fields in found] == ["p1", "p2", "p3"]
    said = json.loads(found[0][1]["data"])
    assert (said["id"], said["type"], said["label"]) == (1, "tagged", "bag")
    with reading(engine)() as session:
        assert place(session, "stream") == 3


def test_killed_between_adding_and_remembering_adds_nothing_twice(
    engine: Engine, client: redis.Redis, chosen: Settings
) -> None:
    happen(engine, "p1", "p2")
    EventTender(engine, client, chosen).run()
    with sessions(engine).begin() as session:
        session.execute(delete(EventCursor).where(EventCursor.name == "stream"))
    EventTender(engine, client, chosen).run()
    assert [id_ for id_, _ in entries(client)] == ["1-1", "2-1"]


def test_flushed_redis_gets_again_what_is_kept(
    engine: Engine, client: redis.Redis, chosen: Settings
) -> None:
    happen(engine, "p1", "p2")
    tender = EventTender(engine, client, chosen)
    tender.run()
    client.flushall()
    tender.run()
    assert [id_ for id_, _ in entries(client)] == ["1-1", "2-1"]


def test_two_upkeeps_at_once_add_each_event_once(
    engine: Engine, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    happen(engine, "p1", "p2", "p3")
    EventTender(engine, client, read_settings()).run()  # numbers them; there is no stream
    first, second = (EventStream(engine, client, NAME) for _ in range(2))
    late = first._last()  # the second one looks before the first one adds
    first.feed()
    monkeypatch.setattr(second, "_last", lambda: late)
    second.feed()
    assert [id_ for id_, _ in entries(client)] == ["1-1", "2-1", "3-1"]


def test_stream_of_another_database_is_left_alone(
    engine: Engine, client: redis.Redis, chosen: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    client.xadd(NAME, {"data": "{}"}, id="7-1")
    happen(engine, "p1")
    with pytest.raises(StreamError, match=r"end with event . at most, found 7"):
        EventStream(engine, client, NAME).feed()
    EventTender(engine, client, chosen).run()  # goes on with its other work
    assert "Delete the stream" in caplog.text
    assert len(entries(client)) == 1


def test_stream_is_bounded(
    engine: Engine, client: redis.Redis, monkeypatch: pytest.MonkeyPatch, chosen: Settings
) -> None:
    monkeypatch.setattr(streams, "LENGTH_MAX", 50)
    with sessions(engine).begin() as session:
        many = [NewEvent(kind=EventKind.TAGGED, product_id=f"p{n}") for n in range(700)]
        write(session, many, NOW)
    EventTender(engine, client, chosen).run()
    found = entries(client)
    assert 50 <= len(found) < 250
    assert found[-1][0] == "700-1"


def test_a_redis_that_is_away_keeps_no_tick_from_its_other_work(
    engine: Engine, broker: EmbeddedBroker, chosen: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    client = connect(broker.url)
    broker.stop()
    happen(engine, "old", at=NOW - timedelta(days=4))
    happen(engine, "new")
    EventTender(engine, client, chosen).run()
    assert "Events were not copied to the stream" in caplog.text
    with reading(engine)() as session:
        assert [row.product_id for row in session.query(EventRow)] == ["new"]


def test_ticks_are_quicker_where_there_is_a_stream(chosen: Settings) -> None:
    [with_stream] = schedule(chosen).values()
    [without] = schedule(read_settings()).values()
    assert (with_stream["schedule"], without["schedule"]) == (1.0, 5.0)


def test_status_says_how_far_the_stream_is(
    engine: Engine,
    database_url: str,
    broker: EmbeddedBroker,
    client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (
        ("DATABASE_URL", database_url), ("REDIS_URL", broker.url), ("TAGGER_EVENTS_STREAM", NAME)
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    happen(engine, "p1", "p2", at=datetime.now(UTC) - timedelta(days=1))
    with sessions(engine).begin() as session:
        number_new(session)

    def events_line() -> str:
        shown = CliRunner().invoke(main, ["status"]).output
        [found] = [each for each in shown.splitlines() if each.startswith("Events  ")]
        return found

    behind = re.search(r"2, of which 2 are kept; stream 2 behind, for (\d+) s", events_line())
    assert behind is not None
    assert 86_400 <= int(behind[1]) < 2 * 86_400
    EventTender(engine, client, settings()).run()
    assert events_line().endswith("2, of which 2 are kept; stream has all")
