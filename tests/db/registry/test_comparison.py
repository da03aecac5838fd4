"""What is said of two models is what a table worked out by hand says."""

from collections.abc import Sequence
from datetime import timedelta
from math import erfc

import pytest
from sqlalchemy.orm import Session

from catalog.outcomes import FlagReason, ShadowOpinion
from catalog.taxonomy.reserved import NOT_IN_TAXONOMY
from db.ledger.recording import record_model
from db.registry import shadows as shadow_taggings
from db.registry.comparison import compare
from db.registry.mcnemar import mcnemar
from db.review.decisions import decide
from db.review.models import Action, Reviewer, Role
from tests.desk import NOON, decision, item, person
from tests.factories import manifest, record, tagged

LATER = NOON + timedelta(minutes=1)
AUDIT = (FlagReason.AUDIT_SAMPLE,)
UNSURE = (FlagReason.LOW_CONFIDENCE,)


@pytest.fixture
def ada(session: Session) -> Reviewer:
    for version in ("a", "b"):
        record_model(session, manifest(model_version=version), NOON)
    return person(session, "Ada")


def see(
    session: Session,
    product_id: str,
    ours: str,
    theirs: str | None,
    *,
    reasons: Sequence[FlagReason] = (),
    their_reasons: Sequence[FlagReason] = (),
    sure: float = 0.9,
) -> None:
    """Model a tags a product as `ours`; its shadow b, where it looks, says `theirs`."""
    outcome = tagged(
        product_id, label=ours, confidence=sure, model_version="a", reasons=tuple(reasons)
    )
    record(session, [outcome], NOON)
    if theirs:
        opinion = ShadowOpinion(
            label=theirs,
            confidence=sure,
            out_of_taxonomy_score=0.0,
            model_version="b",
            image_sha256="a" * 64,
            reasons=tuple(their_reasons),
        )
        shadowed = type(outcome)(
            subject=product_id, job=outcome.job, result=outcome.result, shadow=opinion
        )
        shadow_taggings.record(session, [shadowed], NOON)


def judge(session: Session, who: Reviewer, product_id: str, label: str) -> None:
    action = Action.NOT_IN_TAXONOMY if label == NOT_IN_TAXONOMY else Action.CORRECT
    said = None if label == NOT_IN_TAXONOMY else label
    made = decision(session, item(session, product_id).tagging_id, action, label=said)
    decide(session, who, made, LATER)


def test_agreement_and_flag_rates_are_those_of_the_pictures_both_have_seen(
    session: Session, ada: Reviewer
) -> None:
    see(session, "p1", "coat", "coat")
    see(session, "p2", "coat", "shirt", reasons=UNSURE, their_reasons=UNSURE)
    see(session, "p3", "coat", "shirt", their_reasons=UNSURE)
    see(session, "p4", "bag", "dress", reasons=AUDIT)
    see(session, "p5", "bag", None, reasons=UNSURE)
    figures = compare(session, "a", "b").figures()
    assert (figures["items"], figures["agreement"]) == (4, 0.25)
    # An audit is drawn by lot: it says nothing of a model.
    assert figures["flag_rate"] == [0.25, 0.5]
    assert figures["changes"] == [
        {"from": "coat", "to": "shirt", "items": 2},
        {"from": "bag", "to": "dress", "items": 1},
    ]
    assert figures["audited"]["verdict"] == "no evidence"


def test_a_model_that_loses_what_was_audited_is_worse(session: Session, ada: Reviewer) -> None:
    for number in range(10):
        see(session, f"p{number}", "coat", "shirt" if number < 6 else "coat", reasons=AUDIT)
        judge(session, ada, f"p{number}", "coat")
    see(session, "other", "shirt", "coat", reasons=UNSURE)
    judge(session, ada, "other", "coat")
    found = compare(session, "a", "b")
    audited = found.audited
    assert (audited.items, audited.first_right, audited.second_right) == (10, 10, 4)
    assert (audited.only_first, audited.only_second) == (6, 0)
    assert audited.p_value == pytest.approx(2 / 2**6)
    assert (audited.verdict, found.worse) == ("worse", True)
    assert (found.reviewed.only_first, found.reviewed.only_second) == (6, 1)
    back = compare(session, "b", "a")
    assert (back.audited.verdict, back.worse) == ("better", False)


def test_calibration_is_confidence_held_against_what_people_said(
    session: Session, ada: Reviewer
) -> None:
    for number, truth in enumerate(["coat", "coat", "coat", "shirt"]):
        see(session, f"p{number}", "coat", "shirt", reasons=UNSURE, sure=0.75)
        judge(session, ada, f"p{number}", truth)
    found = compare(session, "a", "b")
    assert found.first_ece == pytest.approx(0.0)
    assert found.second_ece == pytest.approx(0.5)


def test_what_belongs_to_no_class_proves_nothing(session: Session, ada: Reviewer) -> None:
    see(session, "p1", "coat", "shirt", reasons=UNSURE)
    judge(session, ada, "p1", NOT_IN_TAXONOMY)
    assert compare(session, "a", "b").reviewed.items == 0


def test_a_disputed_item_counts_as_its_lead_settled_it(session: Session, ada: Reviewer) -> None:
    see(session, "p1", "coat", "shirt", reasons=UNSURE)
    judge(session, ada, "p1", "coat")
    lead = person(session, "Lea", Role.LEAD)
    made = decision(session, item(session, "p1").tagging_id, Action.CORRECT, label="shirt")
    decide(session, lead, made, LATER)
    found = compare(session, "a", "b").reviewed
    assert (found.only_first, found.only_second) == (0, 1)


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"),
    [(0, 0, 1.0), (0, 5, 0.0625), (0, 6, 0.03125), (1, 9, 0.021484375), (5, 5, 1.0)],
)
def test_mcnemar_is_exact(only_first: int, only_second: int, p: float) -> None:
    assert mcnemar(only_first, only_second) == pytest.approx(p)
    assert mcnemar(only_second, only_first) == pytest.approx(p)


def test_mcnemar_of_large_tables_is_near_the_normal_approximation() -> None:
    z = (1100 - 900 - 1) / (900 + 1100) ** 0.5
    assert mcnemar(900, 1100) == pytest.approx(erfc(z / 2**0.5), rel=0.02)
