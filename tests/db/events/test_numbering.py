"""Readers of the outbox beside writers that commit in any order."""

import random
import threading
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session, sessionmaker

from catalog.events import EventKind
from db.engine import make_engine, sessions
from db.events.models import EventRow
from db.events.numbering import number_new
from db.events.reading import Event, last_number, read
from db.events.writing import NewEvent, write
from db.ledger.accepting import accept
from db.ledger.product_rows import lock
from db.ledger.recording import record_model
from tests.databases import PostgresServer
from tests.factories import job, manifest, record, tagged

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
WRITERS, EACH, PRODUCTS = 6, 25, 4


@pytest.fixture
def on_postgres(postgres: PostgresServer) -> Iterator[Engine]:
    with postgres.database() as url:
        engine = make_engine(url)
        yield engine
        engine.dispose()


def new(product_id: str, mark: object = None) -> NewEvent:
    return NewEvent(kind=EventKind.TAGGED, product_id=product_id, payload={"mark": mark})


def pages(opened: sessionmaker[Session], after: int, limit: int = 1000) -> list[Event]:
    """What a reader finds who numbers first, as readers do."""
    with opened.begin() as session:
        number_new(session)
    with opened() as session:
        return list(read(session, after, limit=limit).events)


def test_event_that_commits_late_comes_after_what_readers_have_passed(on_postgres: Engine) -> None:
    opened = sessions(on_postgres)
    with opened.begin() as session:
        record_model(session, manifest(), NOW)
    with opened() as slow, opened() as quick:
        record(slow, [tagged("slow")], NOW)
        record(quick, [tagged("quick")], NOW)
        quick.commit()
        seen = pages(opened, after=0)
        assert [(each.number, each.product_id) for each in seen] == [(1, "quick")]
        slow.commit()
    with opened() as session:
        ids = session.scalars(select(EventRow.product_id).order_by(EventRow.id)).all()
        assert ids == ["slow", "quick"]  # written in this order, committed in the other
    late = pages(opened, after=1)
    assert [(each.number, each.product_id) for each in late] == [(2, "slow")]


def test_transaction_that_stays_open_holds_up_nobody_elses_events(on_postgres: Engine) -> None:
    opened = sessions(on_postgres)
    with opened() as stays_open:
        write(stays_open, [new("p0")], NOW)
        for number in range(1, 4):
            with opened.begin() as session:
                write(session, [new(f"p{number}")], NOW)
            assert [each.product_id for each in pages(opened, number - 1)] == [f"p{number}"]
        stays_open.rollback()
    assert pages(opened, 3) == []


def test_events_that_are_rolled_back_leave_no_gap(engine: Engine) -> None:
    opened = sessions(engine)
    for number in range(1, 7):
        with opened() as session:
            write(session, [new(f"p{number}"), new(f"q{number}")], NOW)
            if number % 2:
                session.commit()
    found = pages(opened, 0)
    assert [each.number for each in found] == [1, 2, 3, 4, 5, 6]
    assert [each.product_id for each in found] == ["p1", "q1", "p3", "q3", "p5", "q5"]


def test_numbers_are_not_given_out_again_when_events_are_deleted(engine: Engine) -> None:
    opened = sessions(engine)
    with opened.begin() as session:
        write(session, [new("p1"), new("p2")], NOW)
    assert len(pages(opened, 0)) == 2
    with opened.begin() as session:
        session.query(EventRow).delete()
    with opened.begin() as session:
        write(session, [new("p3")], NOW)
    assert [each.number for each in pages(opened, 2)] == [3]


def test_reader_beside_many_writers_misses_nothing_and_keeps_products_in_order(
    engine: Engine,
) -> None:
    """Writers lock one or two products, write, dawdle, then commit or roll back."""
    opened = sessions(engine)
    names = [f"p{number}" for number in range(PRODUCTS)]
    with opened.begin() as session:
        accept(session, [job(name) for name in names], NOW)
    turn: dict[str, int] = defaultdict(int)  # a product's own count, under its lock
    committed: list[tuple[str, int]] = []
    done = threading.Event()
    failed: list[BaseException] = []

    def writer(seed: int) -> None:
        chance = random.Random(seed)
        try:
            for _ in range(EACH):
                chosen = sorted(chance.sample(names, chance.choice([1, 2])))
                with opened() as session:
                    lock(session, chosen)
                    mine = [(name, turn[name] + 1) for name in chosen]
                    write(session, [new(*each) for each in mine], NOW)
                    done.wait(chance.random() * 0.01)
                    if chance.random() < 0.8:
                        turn.update(mine)  # before the commit, which lets the next one in
                        committed.extend(mine)
                        session.commit()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=writer, args=(seed,)) for seed in range(WRITERS)]
    for thread in threads:
        thread.start()
    seen: list[Event] = []
    while True:
        over = not any(thread.is_alive() for thread in threads)
        found = pages(opened, seen[-1].number if seen else 0, limit=7)
        seen += found
        if over and not found:
            break
    assert failed == []
    assert [each.number for each in seen] == list(range(1, len(committed) + 1))
    told = [(each.product_id, each.payload["mark"]) for each in seen]
    assert sorted(told) == sorted(committed)
    for name in names:
        mine = [mark for product, mark in told if product == name]
        assert mine == sorted(mine)
    with opened() as session:
        assert last_number(session) == len(committed)
