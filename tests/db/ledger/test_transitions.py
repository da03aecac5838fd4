"""The picture of the state machine in docs/DESIGN.md, held against the code that moves products."""

import inspect
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, true
from sqlalchemy.orm import Session

from catalog.failures import FailureCode
from catalog.status import ProductStatus
from db.ledger import transitions
from db.ledger.accepting import accepted_row
from db.ledger.models import Product, Tagging, Thumbnail
from db.ledger.recording import record_model
from db.review.models import ReviewItem
from tests.factories import flagged, job, manifest, record, tagged

DESIGN = Path(__file__).parents[3] / "docs" / "DESIGN.md"
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
OUTSIDE = "[*]"
Arrows = set[tuple[str, str, str]]  # from, to, by which function


def drawn() -> Arrows:
    """The arrows of the diagram; a label names all functions that an arrow stands for."""
    (diagram,) = re.findall(r"```mermaid\nstateDiagram-v2\n(.*?)```", DESIGN.read_text(), re.DOTALL)
    arrows: Arrows = set()
    for line in diagram.splitlines():
        found = re.fullmatch(r"\s*(\S+) --> (\S+) ?: (.+)", line)
        if found:
            arrows |= {(found[1], found[2], name.strip()) for name in found[3].split(",")}
    return arrows


def functions() -> dict[str, Callable[..., object]]:
    return {
        name: function
        for name, function in inspect.getmembers(transitions, inspect.isfunction)
        if function.__module__ == transitions.__name__ and not name.startswith("_")
    }


def accepted(uri: str = "file:///photos/p1.jpg") -> dict[str, object]:
    return dict(accepted_row(job("p1", image_uri=uri), "m2", "ingest"))


def attempted(uri: str = "file:///photos/p1.jpg") -> dict[str, object]:
    counted = {"settled_message_id": None, "attempts": 1, "crashes": 0, "queued_at": NOW}
    return accepted(uri) | counted


def outcome(**fields: object) -> list[dict[str, object]]:
    return [{"id": "p1", "image_uri": "file:///photos/p1.jpg", "message_id": "m1"} | fields]


def settling(session: Session, status: ProductStatus) -> None:
    tagging = session.query(Tagging).filter_by(label="coat").one()
    said = {
        "status": status,
        "current_tagging_id": tagging.id,
        "last_model_version": "test-2",
        "image_validator": None,
    }
    transitions.settle(session, outcome(**said), NOW)


def judged(session: Session, label: str | None) -> None:
    transitions.review(session.get_one(Product, "p1"), label, NOW)
    session.flush()


FAILED = {"last_reason_code": "fetch_timeout"}
DUE = FAILED | {"next_attempt_at": NOW}
# Every way in which each of them may be called.
CALLS: dict[str, list[Callable[[Session], object]]] = {
    "accept": [
        lambda session: transitions.accept(session, [accepted()], NOW),
        lambda session: transitions.accept(session, [accepted("file:///new.jpg")], NOW),
        lambda session: transitions.accept(session, [accepted()], NOW, published=False),
    ],
    "accept_again": [
        lambda session: transitions.accept_again(session, ["p1"], true(), "m2", NOW),
    ],
    "replay": [
        lambda session: transitions.replay(session, [accepted()], ["p1"], NOW),
    ],
    "republish": [
        lambda session: transitions.republish(session, true(), Product.id, NOW, 10),
    ],
    "begin_attempt": [
        lambda session: transitions.begin_attempt(session, [attempted()], "w:2", NOW),
        lambda session: transitions.begin_attempt(
            session, [attempted("file:///new.jpg")], "w:2", NOW
        ),
    ],
    "release": [
        lambda session: transitions.release(session, ["p1"], "w:1"),
    ],
    "record_crash": [
        lambda session: transitions.record_crash(
            session, ["p1"], "w:1", FailureCode.PROCESSING_CRASHED
        ),
    ],
    "record_lost_attempt": [
        lambda session: transitions.record_lost_attempt(session, ["p1"]),
    ],
    "settle": [
        lambda session: settling(session, ProductStatus.TAGGED),
        lambda session: settling(session, ProductStatus.NEEDS_REVIEW),
    ],
    "settle_unchanged": [
        lambda session: transitions.settle_unchanged(session, ["p1"], "m1", NOW),
    ],
    "give_up": [
        lambda session: transitions.give_up(session, outcome(**FAILED), NOW),
    ],
    "plan_retry": [
        lambda session: transitions.plan_retry(session, outcome(**DUE), NOW),
    ],
    "remove": [
        lambda session: transitions.remove(session, "p1", "m3", NOW),
    ],
    "review": [
        lambda session: judged(session, "coat"),
        lambda session: judged(session, None),
    ],
}
# The states that a function's callers call it in, where these are not all.
STATES = {status.value for status in ProductStatus}
CALLED_IN = {
    "accept": STATES | {OUTSIDE},
    "begin_attempt": STATES | {OUTSIDE},
    "accept_again": {"tagged", "needs_review", "reviewed", "failed"},
    "replay": {"failed"},
    "republish": {"queued", "processing", "reviewed"},
    "release": {"processing", "reviewed"},
    "record_crash": {"processing", "reviewed"},
    "record_lost_attempt": {"processing", "reviewed"},
    "review": {"needs_review", "reviewed"},
    "remove": STATES,
}


@pytest.fixture
def stage(session: Session) -> Session:
    """Two taggings of p1 are there: a flagged one, and one of a newer model."""
    record_model(session, manifest(), NOW)
    record_model(session, manifest(model_version="test-2"), NOW)
    record(session, [flagged("p1")], NOW)
    record(session, [tagged("p1", label="coat", model_version="test-2")], NOW)
    return session


def put(session: Session, state: str, *, was_flagged: bool) -> None:
    """p1 in this state, and what goes with it; its current tagging is the flagged one or not."""
    if state == OUTSIDE:
        for table in (ReviewItem, Thumbnail, Tagging, Product):
            session.execute(delete(table))
        return
    product = session.get_one(Product, "p1", populate_existing=True)
    label = "bag" if was_flagged else "coat"
    product.current_tagging_id = session.query(Tagging).filter_by(label=label).one().id
    at_work = state in ("processing", "reviewed")
    has_outcome = state in ("tagged", "needs_review", "failed")
    product.status = state
    product.message_id, product.settled_message_id = "m1", "m1" if has_outcome else None
    if state == "removed":
        product.message_id = product.settled_message_id = "m0"
        product.current_tagging_id = None
    product.attempt_by = "w:1" if at_work else None
    product.attempt_started_at = NOW - timedelta(hours=1) if at_work else None
    product.reviewed_label = "shirt" if state == "reviewed" else None
    session.flush()


def arrows_of(session: Session, name: str, state: str) -> Arrows:
    """Where a function leads from this state."""
    arrows: Arrows = set()
    for call in CALLS[name]:
        for was_flagged in (True, False):
            with session.begin_nested() as savepoint:
                put(session, state, was_flagged=was_flagged)
                call(session)
                session.expire_all()
                after = session.get(Product, "p1", populate_existing=True)
                arrows.add((state, after.status if after else OUTSIDE, name))
                savepoint.rollback()
    return arrows


def test_the_functions_are_those_of_the_diagram() -> None:
    assert set(functions()) == {name for _, _, name in drawn()} == set(CALLS)


def test_nothing_else_writes_products() -> None:
    root = DESIGN.parents[1]
    writing = re.compile(
        r"update\(Product\)|insert_many\(session, Product\b|insert\(session, Product\b"
    )
    found = {
        path.relative_to(root).as_posix()
        for package in ("db", "worker", "review")
        for path in (root / package).rglob("*.py")
        if writing.search(path.read_text())
    }
    assert found == {"db/ledger/transitions.py", "db/ledger/product_rows.py"}


def test_the_states_are_those_of_the_diagram() -> None:
    named = {each for start, end, _ in drawn() for each in (start, end)}
    assert named == STATES | {OUTSIDE}


@pytest.mark.parametrize("name", sorted(CALLS))
def test_a_function_leads_where_the_diagram_says(stage: Session, name: str) -> None:
    found: Arrows = set()
    for state in CALLED_IN.get(name, STATES):
        found |= {each for each in arrows_of(stage, name, state) if each[0] != each[1]}
    assert found == {each for each in drawn() if each[2] == name}
