from datetime import timedelta

from sqlalchemy.orm import Session

from catalog.outcomes import FlagReason
from db.ledger.recording import record_model
from db.review.decisions import decide, undo
from db.review.models import Action
from db.review.statistics import choices, statistics
from tests.desk import NOON, decision, flag, item, person
from tests.factories import manifest, record, tagged

LATER = NOON + timedelta(minutes=30)


def test_precision_of_what_was_accepted_counts_audit_samples_only(session: Session) -> None:
    ada = person(session)
    audit = {"reasons": (FlagReason.AUDIT_SAMPLE,), "label": "coat"}
    said = ["coat", "coat", "dress", "not_in_taxonomy", "bad_image"]
    for number, label in enumerate(said):
        tagging_id = flag(session, f"p{number}", 0.99, **audit)
        action = {"not_in_taxonomy": Action.NOT_IN_TAXONOMY, "bad_image": Action.BAD_IMAGE}
        choice = decision(session, tagging_id, action.get(label, Action.CORRECT), label=label)
        decide(session, ada, choice, NOON)
    hard = flag(session, "hard", 0.3)
    decide(session, ada, decision(session, hard, Action.CORRECT, label="dress"), NOON)
    found = statistics(session, LATER)
    assert (found.audit["coat"].right, found.audit["coat"].whole) == (2, 4)
    assert (found.audit["all"].right, found.audit["all"].whole) == (2, 4)
    assert found.audit["bag"].share is None
    assert found.confusion == {
        ("coat", "coat"): 2, ("coat", "dress"): 2, ("coat", "not_in_taxonomy"): 1,
        ("coat", "bad_image"): 1,
    }  # fmt: skip
    [model] = found.models
    assert (model.tagged, model.flagged, model.agreed.right, model.agreed.whole) == (6, 6, 2, 5)


def test_models_are_compared_on_what_each_tagged(session: Session) -> None:
    record_model(session, manifest(model_version="test-2"), NOON)
    flag(session, "a")
    record(session, [tagged("b", model_version="test-2")], NOON)
    figures = {
        each.version: (each.tagged, each.flagged) for each in statistics(session, NOON).models
    }
    assert figures == {"test-1": (1, 1), "test-2": (1, 0)}


def test_queue_is_counted_by_age_and_round(session: Session) -> None:
    ada = person(session)
    person(session, "Ben")
    for hours in (0.5, 2, 5, 30, 100, 500):
        flag(session, f"p{hours}", now=NOON - timedelta(hours=hours))
    decide(session, ada, decision(session, item(session, "p2").tagging_id), NOON, second_share=1)
    found = statistics(session, NOON)
    assert (found.open, found.second, found.disputes) == (6, 1, 0)
    assert list(found.ages.values()) == [1] * 6
    assert found.oldest_at == NOON - timedelta(hours=500)


def test_people_are_counted_by_what_stands(session: Session) -> None:
    ada = person(session)
    for number in range(3):
        choice = decision(session, flag(session, f"p{number}"), seconds=2.0 * number)
        decide(session, ada, choice, NOON - timedelta(hours=number))
    undo(session, ada, NOON, key="u1")
    found = statistics(session, LATER)
    [figures] = found.people
    assert (figures.decisions, figures.last_hour, figures.undone) == (2, 1, 1)
    assert figures.seconds == 1.0
    assert sum(found.per_hour.values()) == 3


def test_reasons_are_counted_by_day_and_may_overlap(session: Session) -> None:
    both = (FlagReason.LOW_CONFIDENCE, FlagReason.POOR_IMAGE)
    flag(session, "a", now=NOON, reasons=both)
    flag(session, "b", now=NOON)
    flag(session, "c", now=NOON - timedelta(days=1))
    flag(session, "old", now=NOON - timedelta(days=30))
    days = {
        (day.isoformat(), reason): count
        for (day, reason), count in statistics(session, NOON).reasons_per_day.items()
    }
    assert days == {
        ("2026-05-01", "low_confidence"): 2, ("2026-05-01", "poor_image"): 1,
        ("2026-04-30", "low_confidence"): 1,
    }  # fmt: skip


def test_agreement_counts_blind_second_opinions(session: Session) -> None:
    ada, ben = person(session), person(session, "Ben")
    for number, second in enumerate(["coat", "coat", "dress", "coat"]):
        tagging_id = flag(session, f"p{number}")
        first = "dress" if number == 3 else "coat"
        for reviewer, label in ((ada, first), (ben, second)):
            choice = decision(session, tagging_id, Action.CORRECT, label=label)
            decide(session, reviewer, choice, NOON, second_share=1)
    found = statistics(session, LATER)
    assert (found.second_opinions.right, found.second_opinions.whole) == (2, 4)
    assert found.kappa is not None
    assert abs(found.kappa - (0.5 - 0.625) / 0.375) < 1e-9
    assert found.disputes == 2


def test_empty_desk_has_figures_too(session: Session) -> None:
    found = statistics(session, NOON)
    assert (found.open, found.kappa, found.oldest_at) == (0, None, None)
    assert choices(session) == ([], [])
