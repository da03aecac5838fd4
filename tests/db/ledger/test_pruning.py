"""What may be deleted, and what is kept for people."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.status import ProductStatus
from db.ledger import pruning
from db.ledger.accepting import accept
from db.ledger.models import Product, Tagging, Thumbnail
from db.ledger.recording import record_model
from db.review.models import Action, Channel, Review, Reviewer, Role
from tests.factories import flagged, job, manifest, record, tagged

OLD = datetime(2026, 1, 1, tzinfo=UTC)
NEW = datetime(2026, 3, 1, tzinfo=UTC)
BEFORE = datetime(2026, 2, 1, tzinfo=UTC)


@pytest.fixture
def ledger(session: Session) -> Session:
    """a: accepted, superseded once. b: waits for a person. c: accepted lately. d: reviewed."""
    record_model(session, manifest(), OLD)
    record_model(session, manifest(model_version="test-2"), OLD)
    record(session, [tagged("a"), flagged("b"), flagged("d")], OLD)
    record(session, [tagged("a", model_version="test-2"), tagged("c")], NEW)
    review(session, "d")
    record(session, [tagged("d", model_version="test-2")], NEW)
    return session


def review(session: Session, product_id: str) -> None:
    product = session.get_one(Product, product_id)
    tagging = session.get_one(Tagging, product.current_tagging_id)
    person = Reviewer(name="ann", role=Role.REVIEWER, created_at=OLD)
    session.add(person)
    session.flush()
    session.add(
        Review(
            request_key="k", product_id=product_id, tagging_id=tagging.id, reviewer_id=person.id,
            action=Action.CORRECT, label="coat", machine_label=tagging.label,
            machine_confidence=tagging.confidence, model_version=tagging.model_version,
            image_sha256=tagging.image_sha256, round=1, channel=Channel.API, step="k",
            seconds=None, decided_at=OLD, undoes_id=None,
        )
    )  # fmt: skip
    product.status, product.reviewed_label = ProductStatus.REVIEWED, "coat"
    session.flush()


def named(session: Session, tagging_ids: object) -> list[tuple[str, str]]:
    columns = select(Tagging.product_id, Tagging.model_version)
    rows = session.execute(columns.where(Tagging.id.in_(tagging_ids)).order_by(Tagging.id))
    return [tuple(row) for row in rows]


def test_thumbnails_of_old_superseded_and_accepted_taggings_go(ledger: Session) -> None:
    page = pruning.thumbnails_page(ledger, 0, BEFORE)
    assert named(ledger, page.tagging_ids) == [("a", "test-1")]
    page = pruning.thumbnails_page(ledger, 0, NEW + timedelta(days=1))
    assert {product for product, _ in named(ledger, page.tagging_ids)} == {"a", "c", "d"}
    assert ("d", "test-1") not in named(ledger, page.tagging_ids), "a person judged it"


def test_taggings_that_are_current_or_were_judged_are_kept(ledger: Session) -> None:
    page = pruning.taggings_page(ledger, 0, NEW + timedelta(days=1))
    assert named(ledger, page.tagging_ids) == [("a", "test-1"), ("d", "test-2")]


def test_product_that_is_on_its_way_keeps_everything(ledger: Session) -> None:
    accept(ledger, [job("a")], NEW)
    assert pruning.taggings_page(ledger, 0, BEFORE).tagging_ids == []
    assert pruning.thumbnails_page(ledger, 0, BEFORE).tagging_ids == []


def test_pages_cover_every_row_once(ledger: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "PAGE_SIZE", 2)
    cursor, looked = 0, []
    while (page := pruning.thumbnails_page(ledger, cursor, BEFORE)).looked:
        cursor = page.cursor
        looked.append(page.looked)
    assert looked == [2, 2, 2]


def test_what_goes_is_gone_with_its_pictures_and_nothing_else(ledger: Session) -> None:
    page = pruning.taggings_page(ledger, 0, BEFORE)
    freed = pruning.delete_taggings(ledger, page.tagging_ids)
    assert freed == len(b"\xff\xd8 overlay") + 980 + 128
    assert len(ledger.scalars(select(Tagging.id)).all()) == 5
    assert len(ledger.scalars(select(Thumbnail.tagging_id)).all()) == 5
