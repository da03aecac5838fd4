"""Publishing runs to a real broker: backpressure, pauses, kills, guards."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import copytree

import pytest
import redis
from sqlalchemy import Engine, select, update

from catalog.bundle import read_manifest
from catalog.errors import OperatorError
from catalog.queues import BULK_QUEUE
from catalog.settings import SHIPPED_BUNDLE, Settings, read_settings, settings
from db.engine import reading, sessions
from db.ledger.models import Product
from db.ledger.recording import record_model
from db.retag import runs as retag_runs
from db.retag.models import RetagChunk, RunState
from db.retag.progress import Progress
from db.retag.selection import Selection
from tests.databases import migrated_sqlite
from tests.factories import manifest, record, tagged
from worker.broker import connect
from worker.client import EnqueueClient
from worker.local.embedded import EmbeddedBroker
from worker.reconciler import product_ids
from worker.retag import publisher as module
from worker.retag.dry_run import count_selected
from worker.retag.lines import line
from worker.retag.publisher import Publisher, Step
from worker.retag.schedule import schedule, start_nightly
from worker.retag.starting import progress_of, resume_run, start_run, with_ids

CHUNK = 10
CHUNKS_MAX = 3
ALL = Selection(everything=True)
LONG_AGO = datetime.now(UTC) - timedelta(days=40)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = migrated_sqlite(f"sqlite:///{tmp_path / 'catalog.db'}")
    yield engine
    engine.dispose()


@pytest.fixture
def chosen(tmp_path: Path, broker: EmbeddedBroker) -> Settings:
    return read_settings(
        database_url=f"sqlite:///{tmp_path / 'catalog.db'}",
        redis_url=broker.url,
        chunk_size=CHUNK,
        retag_chunks_max=CHUNKS_MAX,
    )


@pytest.fixture
def queue(broker: EmbeddedBroker) -> Iterator[redis.Redis]:
    connection = connect(broker.url)
    yield connection
    connection.close()


def fill(engine: Engine, count: int) -> None:
    """Products that another model tagged long ago."""
    with sessions(engine).begin() as session:
        record_model(session, manifest(), LONG_AGO)
        for start in range(0, count, 500):
            outcomes = [tagged(f"p{n:05d}") for n in range(start, min(count, start + 500))]
            record(session, outcomes, LONG_AGO)


def make_publisher(engine: Engine, queue: redis.Redis, chosen: Settings) -> Publisher:
    return Publisher(engine, EnqueueClient(engine, broker_url=chosen.redis_url), queue, chosen)


def fill_the_queue(publisher: Publisher, run_id: int) -> None:
    """Publish step by step, however slow the machine is, until no more chunks may wait."""
    while (step := publisher.drive(run_id, seconds=0)) is Step.PUBLISHED:
        pass
    assert step is Step.FULL


def take_messages(queue: redis.Redis, count: int = 10**6) -> list[str]:
    """The products of messages that leave the queue, as workers take them."""
    found = []
    while count and (message := queue.rpop(BULK_QUEUE)):
        found += product_ids(message)
        count -= 1
    return found


def settle(engine: Engine) -> None:
    """Give every product that is on its way its outcome."""
    with sessions(engine).begin() as session:
        session.execute(
            update(Product).values(
                settled_message_id=Product.message_id, published_at=None, status="tagged"
            )
        )


def test_no_more_chunks_wait_than_may(engine: Engine, queue: redis.Redis, chosen: Settings) -> None:
    fill(engine, 75)
    publisher = make_publisher(engine, queue, chosen)
    run_id = start_run(engine, chosen, ALL, "ann")
    fill_the_queue(publisher, run_id)
    assert queue.llen(BULK_QUEUE) == CHUNKS_MAX
    first = take_messages(queue, 2)
    fill_the_queue(publisher, run_id)
    assert queue.llen(BULK_QUEUE) == CHUNKS_MAX
    while len(first) < 75:
        first += take_messages(queue)
        publisher.drive(run_id, seconds=0)
    assert first == [f"p{n:05d}" for n in range(75)]
    assert publisher.step(run_id) is Step.WAITING
    settle(engine)
    assert publisher.drive(run_id) is Step.FINISHED
    assert progress_of(engine, run_id).state is RunState.FINISHED


def test_run_over_nothing_ends_at_once_and_says_so(
    engine: Engine, queue: redis.Redis, chosen: Settings
) -> None:
    run_id = start_run(engine, chosen, ALL, "ann")
    assert make_publisher(engine, queue, chosen).drive(run_id) is Step.FINISHED
    assert "nothing to do, no product matches" in line(progress_of(engine, run_id))


def test_dry_run_counts_and_starts_nothing(engine: Engine, chosen: Settings) -> None:
    fill(engine, 12)
    assert count_selected(engine, chosen, Selection(older_model=True)) == 12
    assert count_selected(engine, chosen, Selection(labels=("coat",))) == 0
    assert count_selected(engine, chosen, Selection(labels=("Handbag", "tops"))) == 12
    with reading(engine)() as session:
        assert retag_runs.newest_runs(session, 5) == []


def test_pause_from_elsewhere_stops_the_publisher_and_resume_goes_on(
    engine: Engine, queue: redis.Redis, chosen: Settings
) -> None:
    fill(engine, 100)
    publisher = make_publisher(engine, queue, chosen)
    run_id = start_run(engine, chosen, ALL, "ann")
    publisher.step(run_id)
    with sessions(engine).begin() as session:
        retag_runs.move(session, run_id, RunState.PAUSED, allowed=(RunState.RUNNING,))
    assert publisher.step(run_id) is Step.STOPPED
    assert len(take_messages(queue)) == CHUNK
    resume_run(engine, chosen, run_id, any_change=False)
    publisher.drive(run_id, seconds=0)
    assert take_messages(queue)[0] == f"p{CHUNK:05d}"


def test_two_publishers_of_one_run_never_publish_a_product_twice(
    engine: Engine, queue: redis.Redis, chosen: Settings
) -> None:
    fill(engine, 200)
    many = chosen.model_copy(update={"retag_chunks_max": 1000})
    run_id = start_run(engine, chosen, ALL, "ann")
    threads = [
        threading.Thread(
            target=make_publisher(engine, queue, many).drive, args=(run_id,), kwargs={"seconds": 2}
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(take_messages(queue)) == [f"p{n:05d}" for n in range(200)]


def test_killed_publishers_make_one_pass_together(
    engine: Engine, queue: redis.Redis, chosen: Settings, tmp_path: Path
) -> None:
    """kill -9, four times; each time another process goes on."""
    total = 3000
    fill(engine, total)
    environment = os.environ | {
        "DATABASE_URL": chosen.database,
        "REDIS_URL": str(chosen.redis_url),
        "TAGGER_CHUNK_SIZE": str(CHUNK),
        "TAGGER_RETAG_CHUNKS_MAX": "20",
    }
    run_id = start_run(engine, chosen, ALL, "ann")
    received: list[str] = []
    kills = 0
    for share in (0.1, 0.35, 0.6, 0.8, 1.0):
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("tagger")), "retag", "resume", str(run_id)],
            env=environment,
            stderr=subprocess.DEVNULL,
        )
        while progress_of(engine, run_id).published < share * total:
            assert process.poll() is None
            received += take_messages(queue)
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    received += take_messages(queue)
    assert len(set(received)) == len(received), "one pass in all"
    lost = {f"p{n:05d}" for n in range(total)} - set(received)
    assert len(lost) <= kills * CHUNK
    with reading(engine)() as session:
        owed = set(session.scalars(retag_runs.owed(run_id)))
        chunks = session.scalars(select(RetagChunk.size)).all()
    assert owed == {f"p{n:05d}" for n in range(total)}, "what was lost is owed and found again"
    assert sum(chunks) == total


def test_run_pauses_when_the_model_is_gone_and_resumes_with_the_one_that_serves(
    engine: Engine, queue: redis.Redis, chosen: Settings, tmp_path: Path
) -> None:
    fill(engine, 100)
    bundle = tmp_path / "bundle"
    copytree(SHIPPED_BUNDLE, bundle)
    mine = chosen.model_copy(update={"bundle": bundle})
    publisher = make_publisher(engine, queue, mine)
    run_id = start_run(engine, mine, ALL, "ann")
    publisher.drive(run_id, seconds=0)
    (bundle / "manifest.json").unlink()
    assert publisher.drive(run_id, seconds=0) is Step.STOPPED
    found = progress_of(engine, run_id)
    assert found.state is RunState.PAUSED
    assert "The model is gone: Expected a model bundle" in str(found.last_error)
    resume_run(engine, chosen, run_id, any_change=False)
    assert progress_of(engine, run_id).model_version == read_manifest(SHIPPED_BUNDLE).model_version
    take_messages(queue)
    fill_the_queue(make_publisher(engine, queue, chosen), run_id)


def test_run_that_changes_too_many_labels_is_paused_until_a_person_lets_it_go_on(
    engine: Engine, queue: redis.Redis, chosen: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHANGES_MIN", 10)
    fill(engine, 100)
    publisher = make_publisher(engine, queue, chosen)
    run_id = start_run(engine, chosen, ALL, "ann")
    publisher.step(run_id)
    with sessions(engine).begin() as session:
        session.execute(update(RetagChunk).values(kept=6, changed=4))
    assert publisher.drive(run_id, seconds=0) is Step.STOPPED
    assert "found 40.0 % of 10 products" in str(progress_of(engine, run_id).last_error)
    resume_run(engine, chosen, run_id, any_change=True)
    take_messages(queue)
    fill_the_queue(publisher, run_id)


def test_schedule_never_overlaps_itself(
    engine: Engine, chosen: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", chosen.database)
    settings.cache_clear()
    first = start_nightly()
    assert first is not None
    assert start_nightly() is None, "the last one is still open"
    with sessions(engine).begin() as session:
        retag_runs.move(session, first, RunState.CANCELLED, allowed=(RunState.PLANNED,))
    assert start_nightly() not in (first, None)


def test_schedule_is_that_of_the_settings(chosen: Settings) -> None:
    assert "start-retag" not in schedule(chosen)
    nightly = schedule(chosen.model_copy(update={"retag_at": "02:30"}))["start-retag"]
    assert (nightly["schedule"].hour, nightly["schedule"].minute) == ({2}, {30})
    wrong = chosen.model_copy(update={"retag_at": "02:30", "retag_selection": "everything"})
    with pytest.raises(OperatorError, match="Expected a selection"):
        schedule(wrong)


def test_unknown_label_is_refused_before_the_ledger_is_walked(
    engine: Engine, chosen: Settings
) -> None:
    with pytest.raises(OperatorError, match="found Sofas"):
        start_run(engine, chosen, Selection(labels=("Sofas",)), "ann")


def test_a_parent_selects_all_labels_below_it(engine: Engine) -> None:
    with reading(engine)() as session:
        found = with_ids(session, Selection(labels=("Footwear", "T-Shirt/Top")))
    assert found.labels == ("sandal", "sneaker", "ankle-boot", "t-shirt-top")


def test_time_left_follows_from_what_was_selected_so_far() -> None:
    found = Progress(
        run_id=1, selection="all", state=RunState.RUNNING, model_version="m", requested_by="ann",
        products=1000, looked=400, published=100, counts=retag_runs.Counts(kept=50),
        items_per_s=10.0, created_at=LONG_AGO, finished_at=None, published_by=None, last_error=None,
    )  # fmt: skip
    assert (found.expected, found.remaining_s) == (250, 20.0)
    assert "about 250" in line(found)
    assert "0:00:20 left" in line(found)
