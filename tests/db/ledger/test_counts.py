"""Kept counts are those that counting finds, whoever changes what, and in whatever order."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, delete, func, select, text, update
from sqlalchemy.orm import Session

from catalog.failures import FailureCode
from catalog.outcomes import FlagReason
from db.engine import reading, sessions
from db.ledger import counts, transitions
from db.ledger.accepting import accept
from db.ledger.counts import CountKind
from db.ledger.mending import check_counts
from db.ledger.models import FailureRow, KeptCount, Product
from db.ledger.recording import record_model
from tests.factories import failed, flagged, job, manifest, record, tagged

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
IDS = [f"p{number}" for number in range(12)]


def wrong(session: Session) -> dict[CountKind, dict[str, int]]:
    return {kind: dict(names) for kind, names in counts.differences(session).items() if names}


def test_counts_follow_what_is_recorded(session: Session) -> None:
    record_model(session, manifest(), NOW)
    accept(session, [job("a"), job("b")], NOW)
    both = (FlagReason.LOW_CONFIDENCE, FlagReason.OUT_OF_TAXONOMY)
    record(session, [tagged("a", label="dress"), flagged("c", reasons=both), failed("d")], NOW)
    assert counts.kept(session) == {
        CountKind.STATUS: {"failed": 1, "needs_review": 1, "queued": 1, "tagged": 1},
        CountKind.LABEL: {"bag": 1, "dress": 1},
        CountKind.MODEL: {"test-1": 2},
        CountKind.NETWORK: {"reduced": 2},
        CountKind.REASON: {"low_confidence": 1, "out_of_taxonomy": 1},
        CountKind.FAILURE: {"not_found": 1},
    }


def changes(session: Session, rng: random.Random) -> list[Callable[[], object]]:
    some = sorted(rng.sample(IDS, 4))
    picture, code = f"{rng.random():.64f}"[:64], rng.choice(list(FailureCode))
    return [
        lambda: accept(session, [job(each) for each in some], NOW),
        lambda: record(session, [tagged(each, image_sha256=picture) for each in some], NOW),
        lambda: record(session, [flagged(each, image_sha256="f" * 64) for each in some], NOW),
        lambda: record(session, [failed(each, code) for each in some], NOW),
        lambda: transitions.record_lost_attempt(session, some),
        lambda: session.execute(
            update(Product)
            .where(Product.id.in_(some))
            .values(status="needs_review", current_tagging_id=None)
        ),
        lambda: session.execute(delete(FailureRow)),
    ]


@pytest.mark.parametrize("seed", range(6))
def test_no_order_of_changes_makes_them_false(session: Session, seed: int) -> None:
    rng = random.Random(seed)
    record_model(session, manifest(), NOW)
    for _ in range(25):
        rng.choice(changes(session, rng))()
        assert wrong(session) == {}
    assert sum(counts.kept(session)[CountKind.STATUS].values()) > 0


def test_what_was_deleted_is_not_counted(session: Session) -> None:
    accept(session, [job("a"), job("b")], NOW)
    session.execute(delete(Product).where(Product.id == "a"))
    assert counts.kept(session)[CountKind.STATUS] == {"queued": 1}


def test_what_was_rolled_back_is_not_counted(engine: Engine) -> None:
    with sessions(engine)() as session:
        accept(session, [job("a")], NOW)
        session.rollback()
    with reading(engine)() as session:
        assert counts.kept(session)[CountKind.STATUS] == {}


def test_transactions_side_by_side_are_all_counted(engine: Engine) -> None:
    def accept_some(first: int) -> None:
        for number in range(first, first + 5):
            with sessions(engine).begin() as session:
                accept(session, [job(f"{first}-{number}-{each}") for each in range(4)], NOW)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(accept_some, (0, 10, 20, 30)))
    with reading(engine)() as session:
        assert counts.kept(session)[CountKind.STATUS] == {"queued": 80}
        shards = select(func.count(KeptCount.shard.distinct()))
        assert (session.scalar(shards) == 1) == (engine.dialect.name == "sqlite")


def test_mending_makes_false_counts_true(engine: Engine) -> None:
    with sessions(engine).begin() as session:
        accept(session, [job("a"), job("b")], NOW)
        session.execute(text("UPDATE kept_counts SET n = 7"))
        session.add(KeptCount(kind="label", name="gone", shard=3, n=2))

    assert check_counts(engine, mend=False)[CountKind.STATUS] == {"queued": -5}
    missing = check_counts(engine, mend=True)

    assert missing[CountKind.STATUS] == {"queued": -5}
    assert missing[CountKind.LABEL] == {"gone": -2}
    with reading(engine)() as session:
        assert wrong(session) == {}
        assert counts.kept(session)[CountKind.STATUS] == {"queued": 2}


def test_many_shards_are_gathered_and_say_the_same(session: Session) -> None:
    shards = counts.SHARDS_MAX + 1
    session.add_all(
        KeptCount(kind=CountKind.LABEL, name=name, shard=shard, n=shard)
        for shard in range(1, shards + 1)
        for name in ("bag", "shirt")
    )
    session.flush()
    before = counts.kept(session)

    assert counts.gather(session) == 2 * shards
    assert counts.kept(session) == before
    assert set(session.scalars(select(KeptCount.shard))) == {0}
    assert counts.gather(session) == 0
