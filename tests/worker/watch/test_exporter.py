"""What Prometheus is told of models comes from the registry."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector
from sqlalchemy import Engine

from catalog.events import EventKind
from catalog.settings import read_settings
from db.engine import sessions
from db.events.numbering import number_new
from db.events.writing import NewEvent, write
from db.registry import bundles as registry
from db.registry.models import Role
from tests.bundles import promote, register, variant
from worker.broker import connect
from worker.events.tending import EventTender
from worker.local.embedded import EmbeddedBroker
from worker.watch.exporter import SystemCollector, WorkersCollector

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


def test_events_are_told_and_how_far_the_stream_is_behind(
    engine: Engine, database_url: str, broker: EmbeddedBroker, tmp_path: Path
) -> None:
    addresses = {"home": tmp_path, "database_url": database_url, "redis_url": broker.url}
    with sessions(engine).begin() as session:
        events = [NewEvent(kind=EventKind.TAGGED, product_id=f"p{number}") for number in range(3)]
        write(session, events, datetime.now(UTC))
        number_new(session)
    without = SystemCollector(read_settings(**addresses), engine)
    assert "tagger_events_behind" not in {each.name for each in without.collect()}
    chosen = read_settings(**addresses, events_stream="events")
    metrics = {each.name: each for each in SystemCollector(chosen, engine).collect()}
    for name, value in (("last", 3.0), ("kept", 3.0), ("unnumbered_seconds", 0.0)):
        assert metrics[f"tagger_events_{name}"].samples[0].value == value
    [behind] = metrics["tagger_events_behind"].samples
    assert (behind.labels, behind.value) == ({"reader": "stream"}, 3.0)
    EventTender(engine, connect(broker.url), chosen).run()
    metrics = {each.name: each for each in SystemCollector(chosen, engine).collect()}
    assert metrics["tagger_events_behind"].samples[0].value == 0.0


def a_child_counted(folder: Path, process_id: int, items: float) -> Path:
    path = folder / f"counter_ingest-host-{process_id}.db"
    counted = MmapedDict(str(path))
    key = mmap_key("tagger_items", "tagger_items_total", ["queue"], ["ingest"], "")
    counted.write_value(key, items, 0.0)
    counted.close()
    return path


def total(folder: Path) -> float:
    return sum(s.value for metric in WorkersCollector(folder).collect() for s in metric.samples)


def test_a_child_that_has_just_made_its_file_is_left_out(tmp_path: Path) -> None:
    a_child_counted(tmp_path, 1, 3)
    a_child_counted(tmp_path, 2, 4)
    (tmp_path / "counter_ingest-host-3.db").touch()
    assert total(tmp_path) == 7


def test_files_of_dead_children_may_go_while_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_child_counted(tmp_path, 1, 3)
    dead = a_child_counted(tmp_path, 2, 4)
    merge = MultiProcessCollector.merge

    def clear_then_merge(files: list[str]) -> object:
        dead.unlink(missing_ok=True)
        return merge(files)

    monkeypatch.setattr(MultiProcessCollector, "merge", clear_then_merge)
    assert total(tmp_path) == 3
