import threading
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from catalog.failures import FailureCode
from catalog.status import ProductStatus
from db.engine import sessions
from db.ledger.accepting import accept
from db.ledger.attempts import Delivery, begin
from db.ledger.models import Product
from db.ledger.reconciling import Claimed, claim_due, claim_lost
from db.ledger.recording import record_model, record_outcomes
from tests.factories import failed, job, manifest, record, tagged

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
LIMIT_S = 90.0


def lost(session: Session, now: datetime, before: datetime, limit: int = 100) -> list[Claimed]:
    return claim_lost(
        session, now, "ingest", published_before=before, attempt_s_max=LIMIT_S, limit=limit
    )


def test_what_was_published_before_the_instant_is_claimed_once(session: Session) -> None:
    ids = accept(session, [job("p1")], NOW)
    accept(session, [job("p2")], NOW + HOUR)
    claimed = lost(session, NOW + HOUR, NOW + HOUR)
    assert [(each.job.product_id, each.message_id) for each in claimed] == [("p1", ids["p1"])]
    assert lost(session, NOW + HOUR, NOW + HOUR) == []


def test_queues_are_claimed_apart(session: Session) -> None:
    accept(session, [job("p1")], NOW, queue="bulk", message_id="accepted-7")
    assert lost(session, NOW + HOUR, NOW + HOUR) == []


def test_what_has_an_outcome_is_never_claimed(session: Session) -> None:
    record_model(session, manifest(), NOW)
    record(session, [tagged("p1"), failed("p2")], NOW)
    delivery = Delivery(job=job("p3"), message_id="m")
    begun = begin(session, [delivery], NOW, owner="w:1", attempt_s_max=LIMIT_S)
    record_outcomes(session, [tagged("p3")], NOW, attempts=begun.attempts)
    assert lost(session, NOW + HOUR, NOW + HOUR) == []


def test_living_attempt_is_left_alone_and_a_dead_one_is_counted(session: Session) -> None:
    delivery = Delivery(job=job("p1"), message_id="m")
    begin(session, [delivery], NOW, owner="w:1", attempt_s_max=LIMIT_S)
    assert lost(session, NOW + timedelta(seconds=60), NOW + HOUR) == []
    assert len(lost(session, NOW + timedelta(seconds=91), NOW + HOUR)) == 1
    row = session.get_one(Product, "p1", populate_existing=True)
    assert (row.status, row.crashes, row.attempt_by) == (ProductStatus.QUEUED, 1, None)


def test_due_retries_are_claimed_and_others_wait(session: Session) -> None:
    deliveries = [Delivery(job=job(each), message_id=each) for each in ("p1", "p2")]
    begun = begin(session, deliveries, NOW, owner="w:1", attempt_s_max=LIMIT_S)
    record_outcomes(
        session,
        [failed(each, FailureCode.FETCH_TIMEOUT) for each in ("p1", "p2")],
        NOW,
        attempts=begun.attempts,
        retries={"p1": NOW + timedelta(seconds=10), "p2": NOW + timedelta(seconds=30)},
    )
    moment = NOW + timedelta(seconds=20)
    claimed = claim_due(session, moment, limit=10, retry_s_max=3600)
    assert [each.job.product_id for each in claimed] == ["p1"]
    assert claim_due(session, moment, limit=10, retry_s_max=3600) == []
    assert session.get_one(Product, "p1", populate_existing=True).published_at == moment


def test_stamps_of_a_clock_that_was_set_back_do_not_hide_what_is_owed(session: Session) -> None:
    accept(session, [job("p1")], NOW + HOUR)
    assert len(lost(session, NOW, NOW - HOUR)) == 1


def test_several_reconcilers_at_once_claim_everything_once(engine: Engine) -> None:
    with sessions(engine).begin() as session:
        accept(session, [job(f"p{n}") for n in range(60)], NOW)
    claimed: list[str] = []
    start = threading.Barrier(4)

    def reconcile() -> None:
        start.wait()
        while True:
            with sessions(engine).begin() as session:
                found = lost(session, NOW + HOUR, NOW + HOUR, limit=7)
            if not found:
                return
            claimed.extend(each.job.product_id for each in found)

    threads = [threading.Thread(target=reconcile) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(f"p{n}" for n in range(60))
