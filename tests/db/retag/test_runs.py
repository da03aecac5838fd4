"""Runs in the ledger: selecting, walking, counting."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.failures import FailureCode
from catalog.outcomes import FlagReason, Outcome
from catalog.queues import BULK_QUEUE
from catalog.status import ProductStatus
from db.ledger.accepting import accept
from db.ledger.attempts import Attempt, Delivery, begin
from db.ledger.models import Product, Tagging
from db.ledger.recording import record_model, record_outcomes
from db.retag import pages as retag_pages
from db.retag import runs as retag_runs
from db.retag.conditions import condition
from db.retag.models import LEASE, RetagChange, RetagRun, RunState
from db.retag.outcomes import known_pictures, record_unchanged
from db.retag.pages import LostRunError, Taken
from db.retag.runs import RunError
from db.retag.selection import Selection, SelectionError, parse_selection
from tests.factories import failed, flagged, job, manifest, record, tagged

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
OLDER_MODEL = Selection(older_model=True)
ALL = Selection(everything=True)


@pytest.fixture
def ledger(session: Session) -> Session:
    """Four tagged products, of which b is flagged, and one that failed for good."""
    record_model(session, manifest(), NOW)
    record_model(session, manifest(model_version="test-2", created_at="2026-02-01"), NOW)
    outcomes = [tagged("a"), flagged("b", label="coat"), tagged("c"), tagged("d", label="coat")]
    record(session, [*outcomes, failed("e")], NOW)
    return session


def plan(session: Session, selection: Selection = ALL, version: str = "test-2") -> RetagRun:
    return retag_runs.plan(session, selection, LATER, model_version=version, who="ann")


def publish(session: Session, run: RetagRun, limit: int = 100, who: str = "me") -> Taken:
    wanted = condition(
        Selection.of_json(run.selection), model_version=run.model_version, as_of=run.created_at
    )
    page = retag_pages.next_page(session, run.cursor, wanted, limit=limit)
    retag_pages.lease(session, run.id, who, LATER)
    return retag_pages.take(session, run.id, who, run.cursor, page, wanted, LATER)


def ids(taken: Taken) -> list[str]:
    return [each.product_id for each in taken.jobs]


def work(session: Session, taken: Taken, outcomes: list[Outcome], **options: float) -> None:
    """As a worker does it."""
    deliveries = [Delivery(job=each, message_id=taken.message_id) for each in taken.jobs]
    begun = begin(session, deliveries, LATER, owner="w", attempt_s_max=60, queue=BULK_QUEUE)
    done = {deliveries[place].job.product_id for place in begun.now}
    mine = [each for each in outcomes if each.subject in done]
    record_outcomes(session, mine, LATER, attempts=begun.attempts, **options)


def new(product_id: str, **fields: object) -> Outcome:
    return tagged(product_id, model_version="test-2", **fields)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("older-model", "abcd"),
        ("older-than=30d", ""),
        ("older-than=0.5h", "abcd"),
        ("label=coat", "bd"),
        ("label=coat,label=bag,older-model", "abcd"),
        ("failed-transient", ""),
        ("all", "abcde"),
    ],
)
def test_selection_finds_what_it_says(ledger: Session, text: str, expected: str) -> None:
    run = plan(ledger, parse_selection(text))
    assert ids(publish(ledger, run)) == list(expected)


def test_products_that_failed_for_a_passing_reason_are_selected(ledger: Session) -> None:
    record(ledger, [failed("f", FailureCode.FETCH_TIMEOUT)], NOW)
    assert ids(publish(ledger, plan(ledger, Selection(failed_transient=True)))) == ["f"]


def test_what_is_on_its_way_or_came_later_is_left_alone(ledger: Session) -> None:
    accept(ledger, [job("a")], LATER)
    record(ledger, [tagged("z")], LATER + timedelta(minutes=1))
    assert ids(publish(ledger, plan(ledger))) == ["b", "c", "d", "e"]


@pytest.mark.parametrize("text", ["", "all,older-model", "label=", "older-than=soon", "newest"])
def test_selection_of_nothing_or_of_contradictions_is_refused(text: str) -> None:
    with pytest.raises(SelectionError, match="Expected"):
        parse_selection(text)


def test_selection_reads_what_it_writes() -> None:
    chosen = Selection(older_model=True, older_than_days=2.5, labels=("coat", "bag"))
    assert parse_selection(chosen.text) == Selection.of_json(chosen.as_json())
    assert (
        parse_selection("label=bag,label=coat").key == parse_selection("label=coat,label=bag").key
    )


def test_two_open_runs_of_one_selection_are_refused(ledger: Session) -> None:
    first = plan(ledger)
    with pytest.raises(RunError, match=f"found run {first.id}"):
        plan(ledger)
    plan(ledger, OLDER_MODEL)
    open_states = (RunState.PLANNED, RunState.RUNNING, RunState.PAUSED)
    retag_runs.move(ledger, first.id, RunState.CANCELLED, allowed=open_states)
    ledger.flush()
    assert plan(ledger).id != first.id


def test_pages_follow_one_another_without_gap_or_overlap(
    ledger: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retag_pages, "PAGE_SIZE", 3)
    run = plan(ledger, Selection(labels=("coat",)))
    pages = [ids(publish(ledger, run, limit=1)) for _ in range(4)]
    assert pages == [["b"], ["d"], [], []]
    assert (run.cursor, run.looked, run.published) == ("e", 5, 2)
    assert run.labels_before == {"coat": 2}


def test_product_accepted_since_the_page_was_read_is_left_to_its_acceptance(
    ledger: Session,
) -> None:
    run = plan(ledger)
    wanted = condition(ALL, model_version="test-2", as_of=run.created_at)
    page = retag_pages.next_page(ledger, "", wanted, limit=10)
    accept(ledger, [job("b", image_uri="file:///new.jpg")], LATER)
    retag_pages.lease(ledger, run.id, "me", LATER)
    taken = retag_pages.take(ledger, run.id, "me", "", page, wanted, LATER)
    assert ids(taken) == ["a", "c", "d", "e"]
    assert ledger.get_one(Product, "b").image_uri == "file:///new.jpg"


def test_second_publisher_is_kept_out_until_the_lease_ends(ledger: Session) -> None:
    run = plan(ledger)
    publish(ledger, run, limit=1)
    with pytest.raises(LostRunError):
        publish(ledger, run, limit=1, who="other")
    after = LATER + LEASE + timedelta(seconds=1)
    assert retag_pages.lease(ledger, run.id, "other", after) is run
    with pytest.raises(LostRunError):
        publish(ledger, run, limit=1)


def test_paused_run_is_published_by_nobody(ledger: Session) -> None:
    run = plan(ledger)
    publish(ledger, run, limit=1)
    retag_runs.move(ledger, run.id, RunState.PAUSED, allowed=(RunState.RUNNING,))
    with pytest.raises(LostRunError):
        publish(ledger, run, limit=1)


def test_outcomes_are_counted_once_however_often_they_come(ledger: Session) -> None:
    run = plan(ledger)
    taken = publish(ledger, run)
    outcomes = [new("a"), new("b", label="shirt"), new("c"), new("d", label="coat"), failed("e")]
    for _ in range(3):
        work(ledger, taken, outcomes)
    found = retag_runs.counts(ledger, run.id)
    assert (found.kept, found.changed, found.failed, found.done) == (3, 1, 1, run.published)
    assert ledger.scalars(retag_runs.owed(run.id)).all() == []
    changes = {each.product_id: each for each in ledger.scalars(select(RetagChange))}
    assert (changes["b"].from_label, changes["b"].to_label) == ("coat", "shirt")
    assert changes["e"].reason_code == "not_found"
    assert len(changes) == 2


def test_what_a_run_waits_for_is_owed_and_what_was_overtaken_is_not(ledger: Session) -> None:
    run = plan(ledger)
    publish(ledger, run)
    assert set(ledger.scalars(retag_runs.owed(run.id))) == set("abcde")
    accept(ledger, [job("a")], LATER)
    assert set(ledger.scalars(retag_runs.owed(run.id))) == set("bcde")


@pytest.mark.parametrize(("threshold", "asked"), [(0.9, True), (0.95, False)])
def test_changed_label_is_flagged_where_the_old_one_was_sure(
    ledger: Session, threshold: float, asked: bool
) -> None:
    run = plan(ledger)
    audited = new("a", label="shirt", reasons=(FlagReason.AUDIT_SAMPLE,))
    work(ledger, publish(ledger, run, limit=1), [audited], flag_changes_from=threshold)
    product = ledger.get_one(Product, "a")
    tagging = ledger.get_one(Tagging, product.current_tagging_id)
    expected = ["label_changed_on_retag"] if asked else ["audit_sample"]
    assert (tagging.label, tagging.reasons) == ("shirt", expected)
    assert product.status == ProductStatus.NEEDS_REVIEW


def test_reviewed_label_stays_and_the_new_opinion_stands_beside_it(ledger: Session) -> None:
    product = ledger.get_one(Product, "a")
    product.status, product.reviewed_label = ProductStatus.REVIEWED, "dress"
    before = product.current_tagging_id
    ledger.flush()
    run = plan(ledger)
    taken = publish(ledger, run, limit=1)
    work(ledger, taken, [new("a", label="shirt")], flag_changes_from=0.0)
    ledger.expire_all()
    assert (product.status, product.reviewed_label) == ("reviewed", "dress")
    assert product.current_tagging_id == before
    assert product.last_model_version == "test-2"
    opinions = ledger.scalars(select(Tagging.label).where(Tagging.product_id == "a"))
    assert set(opinions) == {"bag", "shirt"}
    change = ledger.scalars(select(RetagChange)).one()
    assert (change.person_label, change.to_label, change.flagged) == ("dress", "shirt", False)
    retag_runs.move(ledger, run.id, RunState.CANCELLED, allowed=(RunState.RUNNING,))
    again = plan(ledger, OLDER_MODEL)
    assert "a" not in ids(publish(ledger, again)), "the new model has looked at it"


def test_deleted_picture_fails_with_its_reason_and_keeps_the_old_tagging(ledger: Session) -> None:
    run = plan(ledger)
    before = ledger.get_one(Product, "a").current_tagging_id
    work(ledger, publish(ledger, run, limit=1), [failed("a")])
    ledger.expire_all()
    product = ledger.get_one(Product, "a")
    assert (product.status, product.current_tagging_id) == (ProductStatus.FAILED, before)
    assert product.last_reason_code == "not_found"


def test_unchanged_picture_is_settled_with_the_tagging_it_has(ledger: Session) -> None:
    first = plan(ledger)
    taken = publish(ledger, first)
    outcomes = [
        replace(new("a"), image_validator="v1"),
        replace(new("b", label="coat", reasons=(FlagReason.LOW_CONFIDENCE,)), image_validator="v2"),
    ]
    work(ledger, taken, outcomes)
    retag_runs.move(ledger, first.id, RunState.CANCELLED, allowed=(RunState.RUNNING,))
    run = plan(ledger)
    again = publish(ledger, run)
    attempts = {
        each.product_id: Attempt(message_id=again.message_id, number=1, owner="w")
        for each in again.jobs
    }
    known = known_pictures(ledger, attempts)
    assert {name: each.image_validator for name, each in known.items()} == {"a": "v1", "b": "v2"}
    for _ in range(2):
        record_unchanged(ledger, ["a", "b"], attempts, LATER)
    ledger.expire_all()
    statuses = [ledger.get_one(Product, each).status for each in "ab"]
    assert statuses == [ProductStatus.TAGGED, ProductStatus.NEEDS_REVIEW]
    assert retag_runs.counts(ledger, run.id).skipped == 2


def test_failure_forgets_what_told_that_the_picture_was_the_same(ledger: Session) -> None:
    first = plan(ledger)
    work(ledger, publish(ledger, first, limit=1), [replace(new("a"), image_validator="v1")])
    accept(ledger, [job("a")], LATER)
    message_id = ledger.get_one(Product, "a").message_id or ""
    attempt = Attempt(message_id=message_id, number=1, owner="w")
    record_outcomes(ledger, [failed("a")], LATER, attempts={"a": attempt})
    ledger.expire_all()
    assert ledger.get_one(Product, "a").image_validator is None


def test_class_that_a_new_taxonomy_gained_is_a_label_like_the_others(ledger: Session) -> None:
    labels = (*manifest().labels, "Hat")
    record_model(ledger, manifest(model_version="test-3", labels=labels), LATER)
    run = plan(ledger, version="test-3")
    hat = tagged("a", model_version="test-3", label="Hat", confidences=(0.0,) * 10 + (1.0,))
    work(ledger, publish(ledger, run, limit=1), [hat])
    change = ledger.scalars(select(RetagChange)).one()
    assert (change.from_label, change.to_label) == ("bag", "Hat")
    assert ids(publish(ledger, plan(ledger, Selection(labels=("Hat",)), "test-4"))) == ["a"]
