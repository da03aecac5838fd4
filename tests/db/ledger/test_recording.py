from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from catalog.failures import FailureCode
from catalog.outcomes import FlagReason
from catalog.status import ProductStatus
from db.base import Base
from db.ledger.accepting import accept
from db.ledger.attempts import Delivery, begin
from db.ledger.models import FailureRow, Product, Tagging, Thumbnail
from db.ledger.recording import record_model, record_outcomes
from db.review.models import ReviewItem
from tests.factories import begun, failed, flagged, job, manifest, record, tagged

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


@pytest.fixture(autouse=True)
def _models(session: Session) -> None:
    record_model(session, manifest(), NOW)
    record_model(session, manifest(model_version="test-2"), NOW)


def everything(session: Session) -> dict[str, list[tuple[object, ...]]]:
    session.expire_all()
    return {
        table.name: sorted(map(tuple, session.execute(select(table)).all()), key=repr)
        for table in Base.metadata.sorted_tables
    }


def test_outcome_of_an_unknown_product_creates_its_row(session: Session) -> None:
    record(session, [tagged("p1")], NOW)
    product = session.get_one(Product, "p1")
    assert product.status == ProductStatus.TAGGED
    assert product.image_uri == "file:///photos/p1.jpg"
    assert product.created_at == NOW


def test_all_that_the_model_said_is_stored(session: Session) -> None:
    record(session, [flagged("p1")], NOW)
    product = session.get_one(Product, "p1")
    row = session.get_one(Tagging, product.current_tagging_id)
    assert (row.label, row.confidence, row.runner_up) == ("bag", 0.91, "shirt")
    assert row.confidences == [0.01] * 8 + [0.91, 0.01]
    assert (row.model_version, row.image_sha256) == ("test-1", "a" * 64)
    assert row.flagged
    assert row.reasons == [FlagReason.LOW_CONFIDENCE]
    assert row.tagged_at == NOW
    picture = session.get_one(Thumbnail, row.id)
    assert picture.overlay_jpeg == b"\xff\xd8 overlay"
    assert len(picture.class_map) == picture.class_map_height * picture.class_map_width * 20
    assert product.status == ProductStatus.NEEDS_REVIEW


def test_redelivered_batch_changes_no_row(session: Session) -> None:
    batch = [tagged("p1"), flagged("p2"), failed("p3")]
    attempts = begun(session, batch, NOW)
    record_outcomes(session, batch, NOW, attempts=attempts)
    before = everything(session)
    record_outcomes(session, batch, LATER, attempts=attempts)
    record_outcomes(session, list(reversed(batch)), LATER, attempts=attempts)
    assert everything(session) == before


def test_same_product_three_times_in_one_batch_writes_one_row(session: Session) -> None:
    record(session, [tagged("p1")] * 3, NOW)
    assert session.scalar(select(func.count()).select_from(Tagging)) == 1


def test_newer_model_adds_a_tagging_and_keeps_the_old_one(session: Session) -> None:
    record(session, [tagged("p1")], NOW)
    record(session, [tagged("p1", model_version="test-2", label="coat")], LATER)
    product = session.get_one(Product, "p1", populate_existing=True)
    assert session.get_one(Tagging, product.current_tagging_id).label == "coat"
    assert session.scalar(select(func.count()).select_from(Tagging)) == 2


def test_reviewed_product_is_never_changed_by_a_machine(session: Session) -> None:
    record(session, [tagged("p1")], NOW)
    session.get_one(Product, "p1").status = ProductStatus.REVIEWED
    session.flush()
    record(session, [tagged("p1", model_version="test-2", label="coat")], LATER)
    record(session, [failed("p1")], LATER)
    product = session.get_one(Product, "p1", populate_existing=True)
    assert product.status == ProductStatus.REVIEWED
    assert session.get_one(Tagging, product.current_tagging_id).label == "bag"


def test_failure_is_kept_with_its_reason_and_forgotten_after_success(session: Session) -> None:
    record(session, [failed("p1", FailureCode.FETCH_TIMEOUT)], NOW)
    letter = session.get_one(FailureRow, "p1")
    assert (letter.reason_code, letter.detail) == ("fetch_timeout", "No picture of p1.")
    assert session.get_one(Product, "p1").status == ProductStatus.FAILED
    record(session, [tagged("p1")], LATER)
    assert session.scalar(select(func.count()).select_from(FailureRow)) == 0
    assert session.get_one(Product, "p1", populate_existing=True).status == ProductStatus.TAGGED


def test_failure_keeps_the_last_good_tagging(session: Session) -> None:
    record(session, [tagged("p1")], NOW)
    record(session, [failed("p1")], LATER)
    product = session.get_one(Product, "p1", populate_existing=True)
    assert product.status == ProductStatus.FAILED
    assert product.current_tagging_id is not None


@pytest.mark.parametrize("detail", ["a\0b", "lone \ud800 surrogate", "x" * 5000])
def test_any_text_of_an_error_can_be_stored(session: Session, detail: str) -> None:
    outcome = failed("p1")
    object.__setattr__(outcome.result, "detail", detail)
    record(session, [outcome], NOW)
    assert session.get_one(FailureRow, "p1").detail


def test_accepting_again_queues_again_but_keeps_a_review_of_the_same_picture(
    session: Session,
) -> None:
    accept(session, [job("p1"), job("p2")], NOW)
    for product_id in ("p1", "p2"):
        session.get_one(Product, product_id).status = ProductStatus.REVIEWED
    session.flush()
    accept(session, [job("p1"), job("p2", image_uri="file:///photos/new.jpg")], LATER)
    assert session.get_one(Product, "p1", populate_existing=True).status == ProductStatus.REVIEWED
    assert session.get_one(Product, "p2", populate_existing=True).status == ProductStatus.QUEUED


def test_message_that_has_its_outcome_does_not_touch_a_row_that_agrees(session: Session) -> None:
    record(session, [tagged("p1")], NOW)
    before = everything(session)
    message_id = session.get_one(Product, "p1").message_id or ""
    again = begin(
        session,
        [Delivery(job=job("p1"), message_id=message_id)],
        LATER,
        owner="w:2",
        attempt_s_max=90.0,
    )
    assert (again.now, again.alone) == ([], [])
    assert everything(session) == before


def test_labels_of_64_characters_are_stored(session: Session) -> None:
    longest, other = "l" * 64, "o" * 64
    record(session, [flagged("p1", label=longest, runner_up=other, certain_at=longest)], NOW)
    row = session.scalars(select(Tagging)).one()
    assert (row.label, row.runner_up, row.certain_at) == (longest, other, longest)
    waiting = session.scalars(select(ReviewItem.label)).one()
    assert waiting == longest
