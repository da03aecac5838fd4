"""No message can stop the shop: real workers, and what senders get wrong in real life."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from catalog.failures import FailureCode
from catalog.queues import BULK_QUEUE, INGEST_QUEUE, TAG_CHUNK, TAG_PRODUCT, UPKEEP_QUEUE
from db.engine import reading
from db.ledger.models import FailureRow
from lab.faults.cases import Scale
from lab.faults.databases import Database, PostgresServer, SqliteDatabase
from lab.faults.senders import CASES
from lab.faults.suite import play
from lab.faults.test_rig import TestRig, staged
from tests.worker.door.envelopes import message
from worker.reserved import held

pytestmark = pytest.mark.integration

HEADERS = {"task": TAG_PRODUCT, "id": "m1"}
SECRET = "s3cret"
MALFORMED = FailureCode.MALFORMED_PAYLOAD
EMPTY_CHUNK = message([[], {"jobs": []}, {}], headers={"task": TAG_CHUNK, "id": "m1"})
NESTED = '{"a":' * 600 + "1" + "}" * 600
# What was sent, and the reason it ends in.
TABLE = [
    (message([[], [], {}]), MALFORMED),
    (message([[], None, {}], headers=HEADERS | {"id": "2"}), MALFORMED),
    (message([[], "text", {}]), FailureCode.MALFORMED_CALL),
    (message([7, {}, {}]), FailureCode.MALFORMED_CALL),
    (message(None), FailureCode.MALFORMED_CALL),
    (message(5), FailureCode.MALFORMED_CALL),
    (message([]), FailureCode.MALFORMED_CALL),
    (message({"product_id": "p", "image_uri": "x"}), FailureCode.MALFORMED_CALL),
    (message(headers=["worker.tag_product"]), FailureCode.NOT_A_MESSAGE),
    (b"garbage", FailureCode.NOT_A_MESSAGE),
    (b'{"product_id": "p1", "image_uri": "file:///p1.jpg"}', FailureCode.NOT_A_MESSAGE),
    (message(body=NESTED), FailureCode.UNREADABLE_BODY),
    (b"[" * 5000, FailureCode.NOT_A_MESSAGE),
    (message(body="[[], {" + "1" * 4301), FailureCode.UNREADABLE_BODY),
    (message(**{"content-type": "application/x-python-serialize"}), FailureCode.UNREADABLE_BODY),
    (message(body='[[], {"a": {"__type__": "x", "__value__": 1}}, {}]', properties={}),
     FailureCode.UNREADABLE_BODY),
    (message([[], {"image_uri": f"https://h.example/p?signature={SECRET}"}, {}],
             headers={"task": "worker.unknown", "id": "m1"}), FailureCode.UNKNOWN_TASK),
    (message(headers=HEADERS | {"task": None}), FailureCode.UNKNOWN_TASK),
    (message(headers=None), FailureCode.UNKNOWN_TASK),
    (message(properties={"body_encoding": "rot13"}), FailureCode.UNREADABLE_BODY),
]  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TestRig]:
    database: Database = (
        SqliteDatabase(tmp_path / "database")
        if request.param == "SQLite"
        else request.getfixturevalue("server").database("door")
    )
    with staged(tmp_path / "home", database, {}) as rig:
        yield rig
    database.close()


def reasons(rig: TestRig) -> list[str]:
    with reading(rig.engine)() as session:
        return sorted(session.scalars(select(FailureRow.reason_code)))


def unacknowledged(rig: TestRig) -> int:
    waiting = sum(rig.redis.llen(each) for each in (INGEST_QUEUE, BULK_QUEUE, UPKEEP_QUEUE))
    return int(waiting) + held(rig.redis)


def refused_messages(rig: TestRig) -> int:
    """In the ingest queue, or taken from it."""
    return int(rig.redis.llen(INGEST_QUEUE)) + held(rig.redis)


@pytest.mark.timeout(300)
def test_what_senders_get_wrong_ends_in_dead_letters_and_stops_nobody(rig: TestRig) -> None:
    workers = {name: process.pid for name, process in rig.system.workers.items()}
    picture = rig.pictures[0].as_uri()
    clear = [
        message([[], {"product_id": f"clear-{n}", "image_uri": picture}, {}], headers=headers)
        for n, headers in enumerate(
            (
                {"task": TAG_PRODUCT},
                {"task": TAG_PRODUCT, "id": "\ud800"},
                {"task": TAG_PRODUCT, "id": "a\0b"},
                {"task": TAG_PRODUCT, "id": "x", "eta": "soon", "expires": {}},
            )
        )
    ]
    positional = message([["clear-4", picture], [], {}], headers={"task": TAG_PRODUCT, "id": "y"})
    good = rig.jobs("good", 40)
    rig.client.enqueue_singles(good[:5])
    for raw in (*(each for each, _ in TABLE), *clear, positional):
        rig.redis.lpush(INGEST_QUEUE, raw)
    for queue in (BULK_QUEUE, UPKEEP_QUEUE):
        rig.redis.lpush(queue, f"garbage on {queue}")
    rig.redis.lpush(BULK_QUEUE, EMPTY_CHUNK)
    # All three workers listen. (What is no JSON at all Kombu leaves out itself, with a traceback.)
    for broadcast in ("[]", "{}", "5", "[" * 5000):
        assert rig.redis.publish("/0.celery.pidbox", broadcast) == 3
    rig.client.enqueue_singles(good[5:])
    ids = [job.product_id for job in good] + [f"clear-{n}" for n in range(5)]
    rig.settle(ids, timeout_s=60)
    assert rig.tally(ids).tagged == len(ids)
    codes = [*(code for _, code in TABLE), *2 * [FailureCode.NOT_A_MESSAGE], MALFORMED]
    expected = sorted(code.value for code in codes)
    # Two empty calls are the same payload: one dead letter keeps both.
    expected.remove(MALFORMED)
    assert rig.wait_for(lambda: reasons(rig) == expected, timeout_s=30), reasons(rig)
    assert rig.wait_for(lambda: not unacknowledged(rig), timeout_s=10)
    assert {name: process.pid for name, process in rig.system.workers.items()} == workers
    logs = [rig.system.log(name).read_text() for name in workers]
    assert not [log for log in logs if "Traceback" in log or SECRET in log]
    require_what_came_and_what_to_change(rig)


def require_what_came_and_what_to_change(rig: TestRig) -> None:
    named = FailureRow.detail.contains("'worker.unknown'")
    with reading(rig.engine)() as session:
        (letter,) = session.scalars(select(FailureRow).where(named)).all()
    assert letter.detail.endswith("Correct the name, or the queue that the sender writes to.")
    assert letter.payload is not None
    assert '"image_uri": "https://h.example/p?…"' in letter.payload
    assert SECRET not in letter.payload


@pytest.mark.timeout(300)
def test_refused_message_waits_for_a_database_that_is_away(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "database")
    with staged(tmp_path / "home", database, {}, bulk=False) as rig:
        holder = database.lock()
        rig.redis.lpush(INGEST_QUEUE, b"garbage")
        time.sleep(4)
        assert refused_messages(rig) == 1
        log = rig.system.log(INGEST_QUEUE).read_text()
        assert log.count("StoreUnavailableError") < 30  # it waits, and does not spin
        database.unlock(holder)
        holder.wait()
        assert rig.wait_for(lambda: reasons(rig) == ["not_a_message"], timeout_s=60)
        assert rig.wait_for(lambda: not refused_messages(rig), timeout_s=10)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["SQLite", "PostgreSQL"])
def test_messages_broken_at_every_level_each_end_in_a_row(
    kind: str, server: PostgresServer
) -> None:
    (case,) = CASES
    line = play(case, kind, f"levels_{kind}".lower(), Scale(items=24, outage_s=0), server.database)
    assert line.survived, line
