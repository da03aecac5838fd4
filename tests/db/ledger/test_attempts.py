from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from catalog.failures import FailureCode
from catalog.outcomes import Outcome
from catalog.status import ProductStatus
from db.ledger.accepting import accept
from db.ledger.attempts import Begun, Delivery, begin, release
from db.ledger.message_ids import was_sent_as
from db.ledger.models import FailureRow, Product, Tagging
from db.ledger.recording import record_model, record_outcomes
from db.ledger.transitions import record_crash
from tests.factories import failed, job, manifest, tagged

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LIMIT_S = 90.0


@pytest.fixture(autouse=True)
def _models(session: Session) -> None:
    record_model(session, manifest(created_at="2026-01-01T00:00:00+00:00"), NOW)
    newer = manifest(model_version="newer", created_at="2026-02-01T00:00:00+01:00")
    record_model(session, newer, NOW)


def delivered(
    product_id: str = "p1", message_id: str = "m1", *, redelivered: bool = True, **fields: str
) -> Delivery:
    """A message of a stranger, as the broker hands it out again; see test_message_ids.py."""
    return Delivery(job=job(product_id, **fields), message_id=message_id, redelivered=redelivered)


def begun(
    session: Session,
    deliveries: Sequence[Delivery],
    *,
    owner: str = "w:1",
    alone: bool = False,
    seconds: float = 0,
) -> Begun:
    moment = NOW + timedelta(seconds=seconds)
    found = begin(session, deliveries, moment, owner=owner, attempt_s_max=LIMIT_S, alone=alone)
    session.expire_all()
    return found


def settle(session: Session, outcome: Outcome, attempt: Begun, **options: object) -> None:
    record_outcomes(session, [outcome], NOW, attempts=attempt.attempts, **options)  # type: ignore[arg-type]
    session.expire_all()


def product(session: Session, product_id: str = "p1") -> Product:
    return session.get_one(Product, product_id)


def test_attempt_is_counted_before_the_picture_is_touched(session: Session) -> None:
    accept(session, [job("p1")], NOW, message_id="m1")
    attempt = begun(session, [delivered()])
    assert attempt.now == [0]
    row = product(session)
    assert (row.status, row.attempts, row.attempt_by) == (ProductStatus.PROCESSING, 1, "w:1")


def test_message_of_a_stranger_creates_its_row(session: Session) -> None:
    assert begun(session, [delivered()]).now == [0]
    assert was_sent_as(product(session).message_id or "", "m1")
    assert product(session).published_at == NOW


def test_redelivered_message_with_an_outcome_changes_no_row(session: Session) -> None:
    settle(session, tagged("p1"), begun(session, [delivered()]))
    before = vars(product(session)).copy()
    again = begun(session, [delivered()], owner="w:2", seconds=500)
    assert (again.now, again.alone) == ([], [])
    after = vars(product(session))
    assert {k: v for k, v in after.items() if k[0] != "_"} == {
        k: v for k, v in before.items() if k[0] != "_"
    }


def test_new_message_of_a_stranger_tags_again(session: Session) -> None:
    settle(session, tagged("p1"), begun(session, [delivered()]))
    assert begun(session, [delivered(message_id="m2")]).now == [0]


def test_several_deliveries_of_a_product_are_tagged_once(session: Session) -> None:
    assert begun(session, [delivered()] * 3).now == [2]


def test_superseded_message_is_dropped_whenever_it_comes(session: Session) -> None:
    first = accept(session, [job("p1", image_uri="file:///old.jpg")], NOW)["p1"]
    second = accept(session, [job("p1", image_uri="file:///new.jpg")], NOW)["p1"]
    old = delivered(message_id=first, image_uri="file:///old.jpg")
    new = delivered(message_id=second, image_uri="file:///new.jpg")
    assert begun(session, [new, old]).now == [0]
    assert begun(session, [old]).now == []
    assert product(session).image_uri == "file:///new.jpg"


def test_what_is_open_in_another_process_is_not_counted_as_dead_but_runs_alone(
    session: Session,
) -> None:
    begun(session, [delivered("p1"), delivered("p2")])
    other = begun(session, [delivered("p1"), delivered("p3")], owner="w:2", seconds=5)
    assert (other.now, other.alone) == ([1], [0])
    assert product(session).crashes == 0
    assert begun(session, [delivered("p1")], owner="w:2", alone=True, seconds=6).now == [0]


def test_attempt_that_outlived_its_limit_is_a_crash(session: Session) -> None:
    begun(session, [delivered()])
    later = begun(session, [delivered()], owner="w:2", seconds=LIMIT_S + 1)
    assert (later.now, later.alone) == ([], [0])
    assert product(session).crashes == 1
    assert begun(session, [delivered()], owner="w:2", seconds=LIMIT_S + 2).alone == [0]
    assert product(session).crashes == 1


def test_crashed_attempt_makes_a_suspect_and_its_mates_too(session: Session) -> None:
    begun(session, [delivered("p1"), delivered("p2")])
    record_crash(session, ["p1", "p2"], "w:1", FailureCode.PROCESSING_CRASHED)
    record_crash(session, ["p1", "p2"], "w:1", FailureCode.PROCESSING_CRASHED)
    session.expire_all()
    assert [product(session, each).crashes for each in ("p1", "p2")] == [1, 1]
    assert begun(session, [delivered("p1"), delivered("p2")], owner="w:2").alone == [0, 1]


@pytest.mark.parametrize("code", [FailureCode.PROCESSING_CRASHED, FailureCode.PROCESSING_TIMED_OUT])
def test_three_crashes_are_a_quarantine_with_its_reason(
    session: Session, code: FailureCode
) -> None:
    for owner in ("w:1", "w:2", "w:3"):
        begun(session, [delivered()], owner=owner, alone=True)
        record_crash(session, ["p1"], owner, code)
    last = begun(session, [delivered()], owner="w:4", alone=True)
    assert (last.now, last.alone) == ([], [])
    record_outcomes(session, last.quarantined, NOW, attempts=last.attempts)
    letter = session.get_one(FailureRow, "p1")
    assert letter.reason_code == code.value
    assert product(session).status == ProductStatus.FAILED
    assert begun(session, [delivered()], owner="w:5").quarantined == []


def test_picture_that_hangs_two_children_at_once_is_quarantined_all_the_same(
    session: Session,
) -> None:
    # Its message came twice: each child takes the attempt over before the other's crash is told.
    begun(session, [delivered()], owner="a:1", alone=True)
    for turn in range(1, 3):
        begun(session, [delivered()], owner=f"b:{turn}", alone=True)
        record_crash(session, ["p1"], f"a:{turn}", FailureCode.PROCESSING_TIMED_OUT)
        begun(session, [delivered()], owner=f"a:{turn + 1}", alone=True)
        record_crash(session, ["p1"], f"b:{turn}", FailureCode.PROCESSING_TIMED_OUT)
    assert product(session).crashes >= 3
    assert begun(session, [delivered()], owner="c:1", alone=True).quarantined


def test_mates_of_a_dead_batch_that_another_child_took_over_are_not_counted_as_dead(
    session: Session,
) -> None:
    begun(session, [delivered("p1"), delivered("p2")])
    begun(session, [delivered("p1")], owner="w:2", alone=True)
    record_crash(session, ["p1", "p2"], "w:1", FailureCode.PROCESSING_CRASHED)
    session.expire_all()
    assert [product(session, each).crashes for each in ("p1", "p2")] == [0, 1]
    assert product(session).attempt_by == "w:2"


def test_tagged_suspect_is_none_any_more(session: Session) -> None:
    begun(session, [delivered()])
    record_crash(session, ["p1"], "w:1", FailureCode.PROCESSING_CRASHED)
    settle(session, tagged("p1"), begun(session, [delivered()], owner="w:2", alone=True))
    assert product(session).crashes == 0
    assert begun(session, [delivered(message_id="m2")], owner="w:2").now == [0]


def test_released_attempt_leaves_no_trace(session: Session) -> None:
    attempt = begun(session, [delivered()])
    release(session, attempt.attempts)
    session.expire_all()
    row = product(session)
    assert (row.status, row.attempts, row.attempt_by) == (ProductStatus.QUEUED, 0, None)
    assert begun(session, [delivered()], owner="w:2").now == [0]


def test_planned_retry_is_the_outcome_of_its_message_until_it_is_due(session: Session) -> None:
    attempt = begun(session, [delivered()])
    due = NOW + timedelta(seconds=60)
    settle(session, failed("p1", FailureCode.RATE_LIMITED), attempt, retries={"p1": due})
    row = product(session)
    assert (row.status, row.next_attempt_at) == (ProductStatus.QUEUED, due)
    assert row.last_reason_code == "rate_limited"
    assert session.get(FailureRow, "p1") is None
    assert begun(session, [delivered()], seconds=59).now == []
    assert begun(session, [delivered()], seconds=61).attempts["p1"].number == 2


def test_final_failure_keeps_how_often_it_was_tried(session: Session) -> None:
    first = begun(session, [delivered()])
    settle(session, failed("p1", FailureCode.FETCH_TIMEOUT), first, retries={"p1": NOW})
    settle(session, failed("p1", FailureCode.FETCH_TIMEOUT), begun(session, [delivered()]))
    assert session.get_one(FailureRow, "p1").attempts == 2
    assert product(session).status == ProductStatus.FAILED


@pytest.mark.parametrize("newer_first", [True, False])
def test_of_two_models_the_newer_one_is_current_in_either_order(
    session: Session, newer_first: bool
) -> None:
    one = begun(session, [delivered()], owner="w:1")
    two = begun(session, [delivered()], owner="w:2", alone=True)
    said = [(tagged("p1"), one), (tagged("p1", model_version="newer", label="coat"), two)]
    for outcome, attempt in reversed(said) if newer_first else said:
        settle(session, outcome, attempt)
    current = session.get_one(Tagging, product(session).current_tagging_id)
    assert (current.model_version, current.label) == ("newer", "coat")


@pytest.mark.parametrize("failure_first", [True, False])
def test_tagging_beats_a_failure_of_the_same_acceptance_in_either_order(
    session: Session, failure_first: bool
) -> None:
    one = begun(session, [delivered()], owner="w:1")
    two = begun(session, [delivered()], owner="w:2", alone=True)
    said = [(failed("p1"), one), (tagged("p1"), two)]
    for outcome, attempt in said if failure_first else reversed(said):
        settle(session, outcome, attempt)
    assert product(session).status == ProductStatus.TAGGED
    assert session.get(FailureRow, "p1") is None


def test_rolled_back_model_becomes_current_when_it_is_asked_to_tag_again(session: Session) -> None:
    newer = begun(session, [delivered()])
    settle(session, tagged("p1", model_version="newer"), newer)
    settle(session, tagged("p1"), begun(session, [delivered(message_id="m2")]))
    current = session.get_one(Tagging, product(session).current_tagging_id)
    assert current.model_version == "test-1"


def test_outcome_of_a_superseded_message_does_not_settle_the_newer_one(session: Session) -> None:
    accept(session, [job("p1")], NOW, message_id="accepted-1")
    old = begun(session, [delivered(message_id="accepted-1")])
    accept(session, [job("p1", image_uri="file:///new.jpg")], NOW, message_id="accepted-2")
    settle(session, tagged("p1"), old)
    row = product(session)
    assert (row.status, row.settled_message_id) == (ProductStatus.QUEUED, None)
    assert row.published_at == NOW


def test_reviewed_product_keeps_its_status_through_an_attempt(session: Session) -> None:
    settle(session, tagged("p1"), begun(session, [delivered()]))
    product(session).status = ProductStatus.REVIEWED
    session.flush()
    accept(session, [job("p1")], NOW, message_id="accepted-1")
    attempt = begun(session, [delivered(message_id="accepted-1")])
    assert product(session).status == ProductStatus.REVIEWED
    settle(session, tagged("p1", model_version="newer", label="coat"), attempt)
    row = product(session)
    assert (row.status, row.attempt_by, row.published_at) == (ProductStatus.REVIEWED, None, None)
    assert session.get_one(Tagging, row.current_tagging_id).label == "bag"
