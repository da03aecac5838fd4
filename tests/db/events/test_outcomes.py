from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from catalog.events import EventKind
from catalog.failures import FailureCode
from catalog.outcomes import Outcome
from db.engine import sessions
from db.events.models import EventRow
from db.ledger.attempts import Delivery, begin
from db.ledger.models import Product
from db.ledger.recording import record_model, record_outcomes
from db.ledger.transitions import accept_again
from db.retag import message_ids
from db.retag.models import RetagRun, RunState
from db.retag.outcomes import record_unchanged
from tests.factories import begun, failed, flagged, job, manifest, record, tagged

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
RUN = 1


@pytest.fixture(autouse=True)
def _models(session: Session) -> None:
    record_model(session, manifest(), NOW)
    record_model(session, manifest(model_version="test-2", created_at="2026-02-01"), NOW)
    session.add(
        RetagRun(
            selection={},
            selection_key="all",
            id=RUN,
            state=RunState.RUNNING,
            model_version="test-2",
            requested_by="test",
            products=4,
            change_share_max=1.0,
            created_at=NOW,
        )
    )
    session.flush()


def told(session: Session) -> list[dict[str, Any]]:
    """All events in the order in which they were written."""
    rows = session.scalars(select(EventRow).order_by(EventRow.id))
    return [{"kind": row.kind, "product_id": row.product_id, **row.payload} for row in rows]


def kinds(session: Session) -> list[str]:
    return [each["kind"] for each in told(session)]


def retag(session: Session, outcomes: Sequence[Outcome]) -> None:
    """A run publishes these products, and this is what comes of them."""
    message_id = message_ids.new_message_id(RUN)
    ids = [each.subject for each in outcomes]
    accept_again(session, ids, Product.id.in_(ids), message_id, NOW)
    deliveries = [Delivery(job=job(each), message_id=message_id) for each in ids]
    started = begin(session, deliveries, NOW, owner="test:1", attempt_s_max=90.0, queue="bulk")
    record_outcomes(session, outcomes, LATER, attempts=started.attempts)


def test_tagged_product_is_an_event(session: Session) -> None:
    record(session, [tagged("p1", confidence=0.91)], NOW)
    assert told(session) == [
        {
            "kind": EventKind.TAGGED,
            "product_id": "p1",
            "state": "tagged",
            "label": "bag",
            "confidence": 0.91,
            "decided_by": "machine",
            "previous_label": None,
            "model_version": "test-1",
        }
    ]


def test_flagged_product_says_for_what(session: Session) -> None:
    record(session, [flagged("p1")], NOW)
    [event] = told(session)
    assert (event["kind"], event["state"]) == ("flagged", "needs_review")
    assert event["reasons"] == ["low_confidence"]


def test_failure_is_an_event_only_when_it_is_final(session: Session) -> None:
    record(session, [failed("p1")], NOW, retries={"p1": LATER})
    assert told(session) == []
    record(session, [failed("p1")], NOW)
    [event] = told(session)
    assert (event["kind"], event["state"]) == ("failed", "failed")
    assert event["reason_code"] == FailureCode.NOT_FOUND


def test_message_that_names_no_product_is_no_event(session: Session) -> None:
    nameless = Outcome(subject="payload:1", job=None, result=failed().result, payload="{}")
    record_outcomes(session, [nameless], NOW)
    assert told(session) == []


def test_redelivered_outcome_is_no_second_event(session: Session) -> None:
    outcomes = [tagged("p1"), flagged("p2"), failed("p3")]
    attempts = begun(session, outcomes, NOW)
    for _ in range(2):
        record_outcomes(session, outcomes, NOW, attempts=attempts)
    assert sorted(kinds(session)) == ["failed", "flagged", "tagged"]


def test_product_sent_again_says_what_it_was_called(session: Session) -> None:
    record(session, [tagged("p1")], NOW)
    record(session, [tagged("p1", label="shirt", image_sha256="b" * 64)], LATER)
    assert kinds(session) == ["tagged", "tagged"]
    assert told(session)[1]["previous_label"] == "bag"


def test_outcome_of_an_older_acceptance_is_no_event(session: Session) -> None:
    outcome = tagged("p1")
    attempts = begun(session, [outcome], NOW)
    begun(session, [outcome], LATER)  # sent anew meanwhile
    record_outcomes(session, [outcome], LATER, attempts=attempts)
    assert told(session) == []


def test_run_is_silent_about_what_it_left_as_it_was(session: Session) -> None:
    record(session, [tagged("p1"), flagged("p2")], NOW)
    retag(session, [tagged("p1", model_version="test-2"), flagged("p2", model_version="test-2")])
    assert sorted(kinds(session)) == ["flagged", "tagged"]


def test_run_tells_what_it_changed(session: Session) -> None:
    record(session, [tagged("label"), tagged("doubt"), flagged("sure"), tagged("lost")], NOW)
    second = {"model_version": "test-2"}
    outcomes = [
        tagged("label", label="shirt", **second),
        flagged("doubt", **second),
        tagged("sure", **second),
        failed("lost"),
    ]
    retag(session, outcomes)
    found = {each["product_id"]: each for each in told(session)[4:]}
    assert {name: each["kind"] for name, each in found.items()} == {
        "label": "changed", "doubt": "flagged", "sure": "tagged", "lost": "failed",
    }  # fmt: skip
    assert (found["label"]["previous_label"], found["label"]["label"]) == ("bag", "shirt")
    assert found["lost"]["previous_label"] == "bag"


def test_run_tells_what_it_tagged_after_a_failure(session: Session) -> None:
    record(session, [tagged("p1")], NOW)
    retag(session, [failed("p1")])
    retag(session, [tagged("p1", model_version="test-2")])
    assert kinds(session) == ["tagged", "failed", "tagged"]


def test_run_that_finds_a_failed_picture_unchanged_tells_that_its_label_stands(
    session: Session,
) -> None:
    record(session, [flagged("p1"), tagged("p2")], NOW)
    retag(session, [failed("p1")])
    message_id = message_ids.new_message_id(RUN)
    accept_again(session, ["p1", "p2"], Product.id.in_(["p1", "p2"]), message_id, NOW)
    deliveries = [Delivery(job=job(each), message_id=message_id) for each in ("p1", "p2")]
    started = begin(session, deliveries, NOW, owner="test:1", attempt_s_max=90.0, queue="bulk")
    record_unchanged(session, ["p1", "p2"], started.attempts, LATER)
    assert [(each["product_id"], each["kind"]) for each in told(session)[2:]] == [
        ("p1", "failed"),
        ("p1", "flagged"),
    ]


def test_outcome_and_event_are_stored_together_or_not_at_all(
    engine: Engine, session: Session
) -> None:
    session.rollback()  # SQLite has one writer
    opened = sessions(engine)
    with opened.begin() as session:
        record_model(session, manifest(), NOW)
    with opened() as session:
        record(session, [tagged("p1")], NOW)
        session.rollback()
    with opened() as session:
        assert session.scalar(select(func.count()).select_from(EventRow)) == 0
        assert session.get(Product, "p1") is None
