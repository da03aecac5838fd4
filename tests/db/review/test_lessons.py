from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import Engine, event, func, select
from sqlalchemy.orm import Session

from catalog.networks import NetworkName
from db.ledger.recording import record_model
from db.ledger.removing import remove
from db.review.decisions import decide, undo
from db.review.filters import Order
from db.review.leases import claim
from db.review.lessons import forget_all
from db.review.models import Action, Lesson, ReviewItem
from db.review.value import bucket, near_buckets
from tests.desk import NOON, decision, flag, item, person
from tests.factories import manifest

MEASURED = "measured"
RNG = np.random.default_rng(0)
SHOE, OTHER = RNG.normal(size=(2, 64))


def measure(session: Session, *, apart: tuple[str, ...] = ()) -> None:
    """A model of which it is known from which likeness on pictures show one category."""
    made = manifest(model_version=MEASURED)
    known = replace(made.networks[NetworkName.REDUCED], alike_min=0.9, alike_apart=apart)
    networks = {NetworkName.REDUCED: known, NetworkName.PHOTO: known}
    record_model(session, replace(made, networks=networks), NOON)


def put(session: Session, name: str, label: str, look: np.ndarray = SHOE, **fields: object) -> int:
    """An item that looks like this, but for a hair's breadth."""
    wide = look + 0.02 * RNG.normal(size=64)
    return flag(
        session, name, label=label, runner_up="shirt", embedding=wide.astype("f2").tobytes(),
        model_version=MEASURED, **fields,
    )  # fmt: skip


def hints(session: Session) -> dict[str, str | None]:
    rows = session.execute(select(ReviewItem.product_id, ReviewItem.hint)).all()
    return {row.product_id: row.hint for row in rows}


def correct(session: Session, tagging_id: int, label: str) -> None:
    reviewer = person(session, f"P{tagging_id}{label}")
    decide(session, reviewer, decision(session, tagging_id, Action.CORRECT, label=label), NOON)


def test_what_looks_like_a_corrected_item_and_is_called_otherwise_comes_first(
    session: Session,
) -> None:
    measure(session)
    names = ("far", "alike", "right", "decided")
    put(session, "far", "sneaker", OTHER)
    put(session, "alike", "sneaker")
    put(session, "right", "sandal")
    decided = put(session, "decided", "sneaker")
    before = {name: item(session, name).value for name in names}
    correct(session, decided, "sandal")
    assert hints(session) == {"far": None, "alike": "sandal", "right": None, "decided": None}
    assert item(session, "alike").hint_from == decided
    assert item(session, "alike").value == pytest.approx(before["alike"] + 1)
    assert item(session, "far").value == pytest.approx(before["far"])
    taken = claim(session, person(session, "Ben"), NOON, order=Order.MOST_VALUABLE, limit=1)
    assert taken == [item(session, "alike").tagging_id]


def test_what_arrives_after_the_decision_is_hinted_at_too(session: Session) -> None:
    measure(session)
    decided = put(session, "decided", "sneaker")
    correct(session, decided, "sandal")
    put(session, "far", "sneaker", OTHER)
    put(session, "alike", "sneaker")
    put(session, "right", "sandal")
    assert hints(session) == {"far": None, "alike": "sandal", "right": None, "decided": None}
    assert item(session, "alike").value > 1 > item(session, "right").value


def test_an_accepted_item_speaks_against_what_its_look_alikes_are_called(session: Session) -> None:
    measure(session)
    put(session, "alike", "sneaker")
    accepted = put(session, "accepted", "sandal")
    decide(session, person(session), decision(session, accepted), NOON)
    assert hints(session)["alike"] == "sandal"


def test_undoing_takes_back_the_hints_and_the_lesson(session: Session) -> None:
    measure(session)
    put(session, "alike", "sneaker")
    decided = put(session, "decided", "sneaker")
    before = item(session, "alike").value
    ada = person(session)
    decide(session, ada, decision(session, decided, Action.CORRECT, label="sandal"), NOON)
    undo(session, ada, NOON, key="undo-the-lesson")
    assert hints(session) == {"alike": None, "decided": None}
    assert item(session, "alike").value == pytest.approx(before)
    put(session, "later", "sneaker")
    assert hints(session)["later"] is None


def test_a_hinted_item_that_is_decided_is_worth_what_it_was(session: Session) -> None:
    measure(session)
    alike = put(session, "alike", "sneaker")
    before = item(session, "alike").value
    correct(session, put(session, "decided", "sneaker"), "sandal")
    correct(session, alike, "sandal")
    assert (item(session, "alike").hint, item(session, "alike").hint_from) == (None, None)
    assert item(session, "alike").value == pytest.approx(before)


def test_a_newer_tagging_loses_the_hint(session: Session) -> None:
    measure(session)
    put(session, "alike", "sneaker")
    correct(session, put(session, "decided", "sneaker"), "sandal")
    assert item(session, "alike").hint == "sandal"
    flag(session, "alike", label="sneaker")  # by a model that nobody measured
    assert (item(session, "alike").hint, item(session, "alike").value > 1) == (None, False)


@pytest.mark.parametrize("action", [Action.BAD_IMAGE, Action.SKIP])
def test_what_says_nothing_of_a_label_teaches_nothing(session: Session, action: Action) -> None:
    measure(session)
    put(session, "alike", "sneaker")
    decided = put(session, "decided", "sneaker")
    decide(session, person(session), decision(session, decided, action), NOON)
    assert set(hints(session).values()) == {None}
    assert not session.scalar(select(func.count()).select_from(Lesson))


def test_strangers_are_hinted_at(session: Session) -> None:
    measure(session)
    put(session, "alike", "bag")
    decided = put(session, "decided", "bag")
    decide(session, person(session), decision(session, decided, Action.NOT_IN_TAXONOMY), NOON)
    assert hints(session)["alike"] == "not_in_taxonomy"


def test_labels_that_likeness_was_not_measured_of_teach_their_own_only(session: Session) -> None:
    measure(session, apart=("sneaker",))
    put(session, "alike", "sneaker")
    put(session, "bag", "bag")
    correct(session, put(session, "decided", "sneaker"), "sandal")
    assert hints(session) == {"alike": "sandal", "bag": None, "decided": None}


def test_another_network_and_an_unmeasured_model_learn_nothing(session: Session) -> None:
    measure(session)
    put(session, "reduced", "sneaker", network=NetworkName.REDUCED)
    put(session, "photo", "sneaker", network=NetworkName.PHOTO)
    decided = put(session, "decided", "sneaker", network=NetworkName.PHOTO)
    unmeasured = flag(session, "unmeasured", label="sneaker")
    correct(session, decided, "sandal")
    correct(session, unmeasured, "sandal")
    assert {name for name, hint in hints(session).items() if hint} == {"photo"}
    lessons = session.scalars(select(Lesson.tagging_id)).all()
    assert lessons == [decided]


def test_a_removed_product_leaves_no_lesson(session: Session) -> None:
    measure(session)
    correct(session, put(session, "decided", "sneaker"), "sandal")
    assert session.scalar(select(func.count()).select_from(Lesson)) == 1
    remove(session, "decided", NOON)
    assert session.scalar(select(func.count()).select_from(Lesson)) == 0


def test_another_taxonomy_forgets_all_hints(session: Session) -> None:
    measure(session)
    put(session, "alike", "sneaker")
    correct(session, put(session, "decided", "sneaker"), "sandal")
    forget_all(session)
    assert set(hints(session).values()) == {None}
    assert item(session, "alike").value <= 1


def test_many_look_alikes_cost_a_decision_no_more_statements_than_one(
    session: Session, engine: Engine
) -> None:
    measure(session)
    said: list[str] = []
    counts = []
    listen = (
        session.get_bind().engine,
        "before_cursor_execute",
        lambda *args: said.append(args[2]),
    )
    event.listen(*listen)
    try:
        for many in (1, 30):
            for number in range(many):
                put(session, f"alike-{many}-{number}", "sneaker")
            decided = put(session, f"decided-{many}", "sneaker")
            said.clear()
            correct(session, decided, "sandal")
            counts.append(len(said))
    finally:
        event.remove(*listen)
    assert counts[1] <= counts[0]
    assert sum(hint == "sandal" for hint in hints(session).values()) == 31


@pytest.mark.parametrize("network", [NetworkName.PHOTO, NetworkName.REDUCED])
def test_look_alikes_share_a_bucket_or_one_beside_it(network: NetworkName) -> None:
    rng = np.random.default_rng(1)
    found, chance = 0, 0
    for _ in range(100):
        look, other = rng.normal(size=(2, 64))
        near = near_buckets(look.astype("f2").tobytes(), network, 16)
        assert near[0] == bucket(look.astype("f2").tobytes(), network)
        assert len(set(near)) == 16
        beside = look + 0.2 * rng.normal(size=64)
        found += bucket(beside.astype("f2").tobytes(), network) in near
        chance += bucket(other.astype("f2").tobytes(), network) in near
    assert found > 80
    assert chance < 10


def test_what_has_no_embedding_has_one_bucket() -> None:
    for network in NetworkName:
        assert near_buckets(b"", network, 16) == [0]
