from datetime import timedelta

import pytest
from sqlalchemy import delete, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from catalog.status import ProductStatus
from catalog.taxonomy.reserved import BAD_IMAGE, NOT_IN_TAXONOMY
from db.ledger.accepting import accept
from db.ledger.models import Product, Tagging
from db.ledger.recording import record_model
from db.review.decisions import decide, history, undo
from db.review.errors import (
    KeyReusedError,
    OwnOpinionError,
    StaleDecisionError,
    UndoError,
    UnknownItemError,
    UnknownLabelError,
)
from db.review.leases import claim, claim_one
from db.review.models import Action, Review, Reviewer, Role
from tests.desk import NOON, decision, flag, item, person
from tests.factories import job, manifest, record, tagged

LATER = NOON + timedelta(minutes=1)


@pytest.fixture
def ada(session: Session) -> Reviewer:
    return person(session, "Ada")


@pytest.fixture
def ben(session: Session) -> Reviewer:
    return person(session, "Ben")


def product(session: Session, name: str = "p1") -> Product:
    return session.get_one(Product, name, populate_existing=True)


@pytest.mark.parametrize(
    ("action", "said", "stored_action", "label"),
    [
        (Action.ACCEPT, None, Action.ACCEPT, "coat"),
        (Action.CORRECT, "dress", Action.CORRECT, "dress"),
        (Action.CORRECT, "coat", Action.ACCEPT, "coat"),
        (Action.NOT_IN_TAXONOMY, None, Action.NOT_IN_TAXONOMY, NOT_IN_TAXONOMY),
        (Action.BAD_IMAGE, None, Action.BAD_IMAGE, BAD_IMAGE),
    ],
)
def test_decision_is_audited_and_in_force(
    session: Session, ada: Reviewer, action: Action, said: str | None, stored_action: Action,
    label: str,
) -> None:  # fmt: skip
    tagging_id = flag(session, "p1", 0.4)
    decide(session, ada, decision(session, tagging_id, action, label=said, seconds=1.5), LATER)
    row = session.scalars(select(Review)).one()
    assert (row.reviewer_id, row.decided_at, row.seconds) == (ada.id, LATER, 1.5)
    assert (row.machine_label, row.machine_confidence) == ("coat", 0.4)
    assert (row.model_version, row.image_sha256) == ("test-1", "a" * 64)
    assert (row.action, row.label) == (stored_action, label)
    assert (product(session).status, product(session).reviewed_label) == ("reviewed", label)
    view = "SELECT label, said_by, machine_label FROM labels_in_force WHERE product_id = 'p1'"
    assert tuple(session.execute(text(view)).one()) == (label, "person", "coat")


def test_machines_row_is_never_changed(session: Session, ada: Reviewer) -> None:
    tagging_id = flag(session, "p1")
    before = session.execute(select(Tagging.__table__)).all()
    decide(session, ada, decision(session, tagging_id, Action.CORRECT, label="dress"), LATER)
    undo(session, ada, LATER, key="u1")
    assert session.execute(select(Tagging.__table__)).all() == before


def test_human_label_wins_over_any_later_tagging(session: Session, ada: Reviewer) -> None:
    tagging_id = flag(session, "p1")
    decide(session, ada, decision(session, tagging_id, Action.CORRECT, label="dress"), LATER)
    record_model(session, manifest(model_version="test-2"), LATER)
    record(session, [tagged("p1", model_version="test-2", label="bag")], LATER)
    assert (product(session).status, product(session).reviewed_label) == ("reviewed", "dress")
    assert item(session, "p1").waits_for == "nobody"
    view = session.execute(text("SELECT label, said_by FROM labels_in_force")).one()
    assert tuple(view) == ("dress", "person")


@pytest.mark.parametrize(
    "statement",
    [update(Review).values(label="bag"), delete(Review)],
    ids=["update", "delete"],
)
def test_audit_is_append_only_in_the_database_itself(
    session: Session, ada: Reviewer, statement: object
) -> None:
    decide(session, ada, decision(session, flag(session, "p1")), LATER)
    with pytest.raises(DBAPIError, match="append-only"):
        session.execute(statement)  # type: ignore[call-overload]


def test_same_request_again_is_the_same_decision(session: Session, ada: Reviewer) -> None:
    choice = decision(session, flag(session, "p1"), key="k1")
    first = decide(session, ada, choice, LATER)
    assert decide(session, ada, choice, LATER + timedelta(minutes=3)) is first
    assert len(history(session, choice.tagging_id)) == 1


def test_key_of_another_decision_is_refused(session: Session, ada: Reviewer) -> None:
    decide(session, ada, decision(session, flag(session, "p1"), key="k1"), LATER)
    with pytest.raises(KeyReusedError):
        decide(session, ada, decision(session, flag(session, "p2"), key="k1"), LATER)


@pytest.mark.parametrize("role", list(Role))
def test_nobody_gives_both_opinions_of_a_blind_pair(
    session: Session, ben: Reviewer, role: Role
) -> None:
    ada = person(session, "Ada", role)
    tagging_id = flag(session, "p1")
    decide(session, ada, decision(session, tagging_id), LATER, second_share=1)
    again = decision(session, tagging_id, Action.CORRECT, label="dress")
    with pytest.raises(OwnOpinionError, match="first opinion on p1 is yours"):
        decide(session, ada, again, LATER, second_share=1)
    assert len(history(session, tagging_id)) == 1
    decide(session, ben, decision(session, tagging_id), LATER, second_share=1)
    assert [row.reviewer_id for row in history(session, tagging_id)] == [ada.id, ben.id]
    assert item(session, "p1").waits_for == "nobody"


def test_opinion_that_was_taken_back_may_be_given_again(
    session: Session, ada: Reviewer, ben: Reviewer
) -> None:
    tagging_id = flag(session, "p1")
    decide(session, ada, decision(session, tagging_id), LATER, second_share=1)
    undo(session, ada, LATER, key="u1", second_share=1)
    again = decision(session, tagging_id, Action.CORRECT, label="dress")
    decide(session, ada, again, LATER, second_share=1)
    assert product(session).reviewed_label == "dress"


def test_label_outside_the_taxonomy_is_refused(session: Session, ada: Reviewer) -> None:
    tagging_id = flag(session, "p1")
    for label in ("Skirt", "", None, NOT_IN_TAXONOMY):
        with pytest.raises(UnknownLabelError, match="Expected a category of fashion-mnist 1"):
            decide(session, ada, decision(session, tagging_id, Action.CORRECT, label=label), LATER)


def test_unknown_item_is_refused(session: Session, ada: Reviewer) -> None:
    with pytest.raises(UnknownItemError):
        decide(session, ada, decision(session, 4711), LATER)


def test_stale_decision_says_who_decided_before(
    session: Session, ada: Reviewer, ben: Reviewer
) -> None:
    tagging_id = flag(session, "p1")
    old = decision(session, tagging_id)
    decide(session, ada, decision(session, tagging_id), LATER)
    with pytest.raises(StaleDecisionError, match=r"Ada decided it at 12:01:00 UTC"):
        decide(session, ben, old, LATER)


def test_stale_decision_says_who_holds_the_item(
    session: Session, ada: Reviewer, ben: Reviewer
) -> None:
    tagging_id = flag(session, "p1")
    claim(session, ada, NOON)
    old = decision(session, tagging_id)
    much_later = NOON + timedelta(hours=1)
    claim(session, ben, much_later)
    with pytest.raises(StaleDecisionError, match="now with Ben: your lease had ended"):
        decide(session, ada, old, much_later)


def test_lease_that_ended_and_that_nobody_took_still_counts(
    session: Session, ada: Reviewer
) -> None:
    tagging_id = flag(session, "p1")
    claim(session, ada, NOON)
    decide(session, ada, decision(session, tagging_id), NOON + timedelta(hours=1))
    assert product(session).status == ProductStatus.REVIEWED


def test_item_that_another_holds_cannot_be_decided(
    session: Session, ada: Reviewer, ben: Reviewer
) -> None:
    tagging_id = flag(session, "p1")
    claim(session, ada, NOON)
    with pytest.raises(StaleDecisionError, match="now with Ada"):
        decide(session, ben, decision(session, tagging_id), NOON)
    assert not claim_one(session, ben, tagging_id, NOON)


def test_decision_on_a_replaced_tagging_is_stale(session: Session, ada: Reviewer) -> None:
    old = decision(session, flag(session, "p1"))
    record_model(session, manifest(model_version="test-2"), LATER)
    flag(session, "p1", model_version="test-2")
    with pytest.raises(StaleDecisionError, match="tagged again since you saw it"):
        decide(session, ada, old, LATER)


def test_decision_on_a_product_queued_anew_is_stale(session: Session, ada: Reviewer) -> None:
    choice = decision(session, flag(session, "p1"))
    accept(session, [job("p1")], LATER)
    with pytest.raises(StaleDecisionError, match="sent to the machine again"):
        decide(session, ada, choice, LATER)


def test_undo_takes_the_decision_back_and_hands_the_item_over(
    session: Session, ada: Reviewer, ben: Reviewer
) -> None:
    tagging_id = flag(session, "p1")
    decide(session, ada, decision(session, tagging_id), LATER)
    [row] = undo(session, ada, LATER, key="u1")
    assert row.undoes_id is not None
    assert (product(session).status, product(session).reviewed_label) == ("needs_review", None)
    assert item(session, "p1").leased_by == ada.id
    assert claim(session, ben, LATER) == []
    assert [each.action for each in history(session, tagging_id)] == ["accept", "undo"]


def test_ten_steps_can_be_undone_and_no_more(session: Session, ada: Reviewer) -> None:
    for number in range(12):
        decide(session, ada, decision(session, flag(session, f"p{number}")), LATER)
    undone = [undo(session, ada, LATER, key=f"u{number}")[0].product_id for number in range(10)]
    assert undone == [f"p{number}" for number in range(11, 1, -1)]
    with pytest.raises(UndoError, match="last 10"):
        undo(session, ada, LATER, key="u10")


def test_undo_sent_twice_undoes_once(session: Session, ada: Reviewer) -> None:
    for number in range(2):
        decide(session, ada, decision(session, flag(session, f"p{number}")), LATER)
    first = undo(session, ada, LATER, key="u1")
    assert undo(session, ada, LATER, key="u1") == first
    assert product(session, "p0").status == ProductStatus.REVIEWED


def test_bulk_step_is_undone_as_one(session: Session, ada: Reviewer) -> None:
    for number in range(5):
        choice = decision(session, flag(session, f"p{number}"), step="grid-1")
        decide(session, ada, choice, LATER)
    assert len(undo(session, ada, LATER, key="u1")) == 5
    assert {product(session, f"p{number}").status for number in range(5)} == {"needs_review"}


def test_nobody_undoes_what_another_did(session: Session, ada: Reviewer, ben: Reviewer) -> None:
    decide(session, ada, decision(session, flag(session, "p1")), LATER)
    with pytest.raises(UndoError):
        undo(session, ben, LATER, key="u1")


def test_decision_that_was_judged_again_since_cannot_be_undone(
    session: Session, ada: Reviewer, ben: Reviewer
) -> None:
    tagging_id = flag(session, "p1")
    for reviewer in (ada, ben):
        decide(session, reviewer, decision(session, tagging_id), LATER, second_share=1)
    with pytest.raises(UndoError, match="judged p1 after you"):
        undo(session, ada, LATER, key="u1")


@pytest.mark.parametrize(
    ("second", "waits_for", "settled"), [("coat", "nobody", "coat"), ("dress", "lead", "bag")]
)
def test_second_opinions_end_in_agreement_or_with_a_lead(
    session: Session, ada: Reviewer, ben: Reviewer, second: str, waits_for: str, settled: str
) -> None:
    tagging_id = flag(session, "p1")
    decide(session, ada, decision(session, tagging_id), LATER, second_share=1)
    assert (item(session, "p1").waits_for, item(session, "p1").round) == ("reviewer", 2)
    choice = decision(session, tagging_id, Action.CORRECT, label=second)
    decide(session, ben, choice, LATER, second_share=1)
    assert item(session, "p1").waits_for == waits_for
    assert product(session).reviewed_label == "coat"
    if waits_for == "lead":
        word = decision(session, tagging_id, Action.CORRECT, label="bag")
        with pytest.raises(StaleDecisionError):
            decide(session, person(session, "Cem"), word, LATER)
        decide(session, person(session, "Lea", Role.LEAD), word, LATER)
        assert item(session, "p1").waits_for == "nobody"
    assert product(session).reviewed_label == settled


def test_shop_of_one_reviewer_waits_for_no_second_opinion(session: Session, ada: Reviewer) -> None:
    decide(session, ada, decision(session, flag(session, "p1")), LATER, second_share=1)
    assert item(session, "p1").waits_for == "nobody"
