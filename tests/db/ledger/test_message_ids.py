"""What a message id means: ours name acceptances, a sender's own is the sender's business."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from catalog.status import ProductStatus
from db.ledger.accepting import accept
from db.ledger.attempts import Begun, Delivery, begin
from db.ledger.message_ids import is_ours, new_id_of_sent, new_message_id, was_sent_as
from db.ledger.models import Product
from db.ledger.reconciling import claim_lost
from db.ledger.recording import record_model, record_outcomes
from db.retag import message_ids as retag
from tests.factories import job, manifest, tagged

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LIMIT_S = 90.0
OLD, NEW = "file:///old.jpg", "file:///new.jpg"
ODD_NAMES = ["", "4711", "a-b", "x" * 500, "nul \0", "lone \ud800", "ünïcode", "sent-", "accepted-"]


@pytest.fixture(autouse=True)
def _model(session: Session) -> None:
    record_model(session, manifest(), NOW)


def comes(name: str, uri: str = OLD, *, again: bool = False) -> Delivery:
    return Delivery(job=job("p1", image_uri=uri), message_id=name, redelivered=again)


def begun(session: Session, delivery: Delivery, owner: str = "w:1") -> Begun:
    found = begin(session, [delivery], NOW, owner=owner, attempt_s_max=LIMIT_S, alone=True)
    session.expire_all()
    return found


def settle(session: Session, attempt: Begun, sha256: str = "a" * 64) -> None:
    outcome = tagged("p1", image_sha256=sha256)
    record_outcomes(session, [outcome], NOW, attempts=attempt.attempts)
    session.expire_all()


def product(session: Session) -> Product:
    return session.get_one(Product, "p1")


@pytest.mark.parametrize("name", ["p1", "accepted-p1", f"accepted-{32 * '0'}", "x" * 500])
@pytest.mark.parametrize("uri", [OLD, NEW])
def test_a_later_message_under_the_same_id_is_a_new_acceptance(
    session: Session, name: str, uri: str
) -> None:
    settle(session, begun(session, comes(name)))
    first = product(session).message_id
    later = begun(session, comes(name, uri))
    assert later.now == [0]
    assert later.attempts["p1"].number == 1
    assert product(session).status == ProductStatus.PROCESSING
    settle(session, later, "b" * 64)
    row = product(session)
    assert (row.status, row.image_uri) == (ProductStatus.TAGGED, uri)
    assert row.settled_message_id == row.message_id != first


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_message_that_the_broker_delivers_again_changes_nothing(
    session: Session, name: str
) -> None:
    settle(session, begun(session, comes(name)))
    before = {key: value for key, value in vars(product(session)).items() if key[0] != "_"}
    assert begun(session, comes(name, again=True), "w:2").now == []
    after = {key: value for key, value in vars(product(session)).items() if key[0] != "_"}
    assert after == before


def test_an_outcome_of_an_earlier_message_under_the_same_id_is_not_taken_for_the_later_one(
    session: Session,
) -> None:
    early = begun(session, comes("p1", OLD))
    late = begun(session, comes("p1", NEW), "w:2")
    settle(session, early)
    assert product(session).status == ProductStatus.PROCESSING
    settle(session, late, "b" * 64)
    assert (product(session).status, product(session).image_uri) == (ProductStatus.TAGGED, NEW)


def test_a_later_picture_under_the_same_id_is_tagged_though_it_was_delivered_before(
    session: Session,
) -> None:
    settle(session, begun(session, comes("p1", OLD)))
    # Whoever had it first was killed before it was begun.
    assert begun(session, comes("p1", NEW, again=True)).now == [0]


def test_what_the_reconciler_published_again_and_what_was_sent_are_one_acceptance(
    session: Session,
) -> None:
    begun(session, comes("their-id"))
    later = NOW + timedelta(hours=1)
    (claimed,) = claim_lost(
        session, later, "ingest", published_before=later, attempt_s_max=LIMIT_S, limit=1
    )
    assert was_sent_as(claimed.message_id, "their-id")
    settle(session, begun(session, comes(claimed.message_id)))
    assert begun(session, comes("their-id", again=True)).now == []
    assert begun(session, comes(claimed.message_id)).now == []


def test_a_message_of_ours_that_was_superseded_is_dropped(session: Session) -> None:
    first = accept(session, [job("p1", image_uri=OLD)], NOW)["p1"]
    settle(session, begun(session, comes("their-id", NEW)))
    assert begun(session, comes(first, OLD)).now == []
    assert product(session).image_uri == NEW


@pytest.mark.parametrize("name", ODD_NAMES)
def test_an_id_of_ours_is_told_from_any_other(name: str) -> None:
    mine = new_id_of_sent(name)
    assert is_ours(mine)
    assert len(mine) <= 64
    assert mine.isascii()
    assert was_sent_as(mine, name)
    others: Sequence[str] = [each for each in ODD_NAMES if each != name]
    assert not any(was_sent_as(mine, other) for other in others)
    assert not is_ours(name)
    assert new_id_of_sent(name) != mine


def test_ids_of_the_client_and_of_runs_are_ours() -> None:
    mine, runs = new_message_id(), retag.new_message_id(7)
    assert is_ours(mine)
    assert is_ours(runs)
    assert (retag.run_of(mine), retag.run_of(runs)) == (None, 7)
    assert not was_sent_as(mine, "")
    assert not is_ours(mine[:-1] + ("0" if mine[-1] != "0" else "1"))
