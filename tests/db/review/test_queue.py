import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from catalog.networks import NetworkName
from catalog.outcomes import FlagReason
from catalog.status import ProductStatus
from db.engine import sessions
from db.ledger.accepting import accept
from db.ledger.models import Product
from db.ledger.recording import record_model
from db.review import queue as review_queue
from db.review.decisions import decide
from db.review.filters import CursorError, Order, QueueFilter
from db.review.leases import claim, claim_alike, claim_one, release, renew
from db.review.listing import counts, page
from db.review.models import Action, Reviewer, ReviewItem, Role
from tests.desk import NOON, decision, flag, flag_many, item, person
from tests.factories import job, manifest, record, tagged

LATER = NOON + timedelta(minutes=5)


def test_flagged_product_enters_the_queue_with_its_batch(session: Session) -> None:
    flag(session, "p1", 0.4, reasons=(FlagReason.LOW_CONFIDENCE, FlagReason.POOR_IMAGE))
    row = item(session, "p1")
    assert (row.label, row.confidence, row.waits_for, row.round) == ("coat", 0.4, "reviewer", 1)
    assert row.reasons == " low_confidence poor_image "


def test_accepted_product_does_not_enter_the_queue(session: Session) -> None:
    record_model(session, manifest(), NOON)
    record(session, [tagged("p1")], NOON)
    assert session.get(ReviewItem, "p1") is None


def test_newer_tagging_starts_the_item_again_and_ends_its_lease(session: Session) -> None:
    first = flag(session, "p1")
    claim(session, person(session), NOON)
    record_model(session, manifest(model_version="test-2"), NOON)
    second = flag(session, "p1", 0.6, model_version="test-2", label="dress")
    row = item(session, "p1")
    assert first != second
    assert (row.tagging_id, row.label, row.leased_by) == (second, "dress", None)
    assert row.version == 3


def test_product_that_a_newer_model_is_sure_of_leaves_the_queue(session: Session) -> None:
    flag(session, "p1")
    record_model(session, manifest(model_version="test-2"), NOON)
    record(session, [tagged("p1", model_version="test-2")], LATER)
    assert session.get(ReviewItem, "p1", populate_existing=True) is None


def test_products_from_before_the_queue_are_filled_in_once(session: Session) -> None:
    flag_many(session, 30)
    session.execute(ReviewItem.__table__.delete())  # type: ignore[attr-defined]
    assert review_queue.fill(session) == 30
    assert review_queue.fill(session) == 0


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (Order.LEAST_CONFIDENT, ["b", "c", "a"]),
        (Order.OLDEST, ["a", "b", "c"]),
        # c disagrees with the shop; of a and b, b is nearer to even odds.
        (Order.MOST_VALUABLE, ["c", "b", "a"]),
    ],
)
def test_orders(session: Session, order: Order, expected: list[str]) -> None:
    bumps = np.eye(3, 64, dtype=np.float16)
    flag(session, "a", 0.9, NOON, embedding=bumps[0].tobytes())
    flag(session, "b", 0.5, LATER, embedding=(np.arange(64) - 30).astype(np.float16).tobytes())
    flag(
        session, "c", 0.8, LATER + timedelta(minutes=1),
        embedding=(np.arange(64)[::-1] - 30).astype(np.float16).tobytes(),
        reasons=(FlagReason.DECLARED_LABEL_CONFLICT,),
    )  # fmt: skip
    entries = page(session, NOON, order=order).entries
    assert [entry.product.id for entry in entries] == expected


def test_look_alikes_are_worth_less_than_the_first_of_their_kind(session: Session) -> None:
    for name in ("a", "b", "c"):
        flag(session, name, 0.5)
    assert item(session, "a").value > item(session, "b").value > item(session, "c").value


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (QueueFilter(reason=FlagReason.POOR_IMAGE), {"dark"}),
        (QueueFilter(label="dress"), {"dress"}),
        (QueueFilter(confidence_min=0.5, confidence_max=0.7), {"dark"}),
        (QueueFilter(model_version="test-2"), {"new"}),
        (QueueFilter(model_version="nothing' OR 1=1 --"), set()),
        (QueueFilter(tagged_from=LATER), {"new"}),
        (QueueFilter(tagged_until=LATER), {"dress", "dark"}),
        (QueueFilter(declared_label="Skirt"), {"dress"}),
        (QueueFilter(product_id="dark"), {"dark"}),
    ],
)
def test_filters(session: Session, wanted: QueueFilter, expected: set[str]) -> None:
    accept(session, [job("dress", declared_label="Skirt")], NOON)
    record_model(session, manifest(model_version="test-2"), NOON)
    flag(session, "dress", 0.3, label="dress")
    session.get_one(Product, "dress").declared_label = "Skirt"
    item(session, "dress").declared_label = "Skirt"
    session.flush()
    flag(session, "dark", 0.6, reasons=(FlagReason.POOR_IMAGE,))
    flag(session, "new", 0.8, LATER, model_version="test-2")
    found = page(session, NOON, wanted=wanted).entries
    assert {entry.product.id for entry in found} == expected
    assert counts(session, NOON, wanted=wanted).open == len(expected)


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("Tops", {"shirt", "pullover"}),
        ("footwear", set()),
        ("Tops > Shirt", {"shirt"}),
        ("jumper", {"pullover"}),
        ("Sofas", set()),
    ],
)
def test_a_label_to_filter_by_may_be_a_name_an_alias_or_a_parent(
    session: Session, label: str, expected: set[str]
) -> None:
    for name in ("shirt", "pullover", "coat"):
        flag(session, name, label=name)
    wanted = QueueFilter(label=label)
    assert {each.product.id for each in page(session, NOON, wanted=wanted).entries} == expected
    assert counts(session, NOON, wanted=wanted).by_label.keys() == expected
    taken = claim(session, person(session), NOON, wanted=wanted)
    assert set(taken) == {item(session, name).tagging_id for name in expected}


@pytest.mark.parametrize("order", list(Order))
def test_pages_neither_skip_nor_repeat_while_rows_come_and_go(
    session: Session, order: Order
) -> None:
    before = set(flag_many(session, 40))
    reviewer = person(session)
    seen: list[int] = []
    cursor, number = None, 0
    while True:
        found = page(session, NOON, order=order, cursor=cursor, limit=7)
        seen += [entry.item.tagging_id for entry in found.entries]
        cursor = found.next_cursor
        if cursor is None:
            break
        flag(session, f"new{number}", 0.2 + 0.04 * number)
        decide(session, reviewer, decision(session, seen[-1]), NOON)
        number += 1
    assert len(seen) == len(set(seen))
    assert before <= set(seen)


@pytest.mark.parametrize("cursor", ["", "x", "bnVsbA", "W10", "é", "WyJvbGRlc3QiLCAxLCAxXQ"])
def test_cursor_that_nobody_gave_out_is_refused(session: Session, cursor: str) -> None:
    with pytest.raises(CursorError, match="Start from the first page"):
        page(session, NOON, cursor=cursor)


def test_claim_takes_ten_in_order_and_taking_again_changes_nothing(session: Session) -> None:
    ids = flag_many(session, 30)
    reviewer = person(session)
    assert claim(session, reviewer, NOON) == ids[:10]
    assert claim(session, reviewer, LATER) == ids[:10]


def test_two_reviewers_never_hold_the_same_item(session: Session) -> None:
    flag_many(session, 15)
    ada, ben = person(session, "Ada"), person(session, "Ben")
    first, second = claim(session, ada, NOON), claim(session, ben, NOON)
    assert (len(first), len(second)) == (10, 5)
    assert not set(first) & set(second)


def test_expired_lease_returns_to_the_queue(session: Session) -> None:
    flag_many(session, 10)
    ada, ben = person(session, "Ada"), person(session, "Ben")
    held = claim(session, ada, NOON)
    assert claim(session, ben, NOON + timedelta(minutes=10)) == []
    assert claim(session, ben, NOON + timedelta(minutes=10, seconds=1)) == held
    assert renew(session, ada, held, NOON + timedelta(minutes=10, seconds=2)) == []


def test_renewed_lease_lasts_another_ten_minutes(session: Session) -> None:
    flag_many(session, 10)
    ada, ben = person(session, "Ada"), person(session, "Ben")
    held = claim(session, ada, NOON)
    assert sorted(renew(session, ada, held, NOON + timedelta(minutes=9))) == sorted(held)
    assert claim(session, ben, NOON + timedelta(minutes=18)) == []


def test_released_items_are_free_at_once(session: Session) -> None:
    flag_many(session, 10)
    ada, ben = person(session, "Ada"), person(session, "Ben")
    held = claim(session, ada, NOON)
    release(session, ada, keep=held[:3])
    assert claim(session, ben, NOON) == held[3:]


def test_another_filter_gives_back_what_does_not_fit(session: Session) -> None:
    flag_many(session, 20)
    ada = person(session)
    claim(session, ada, NOON)
    held = claim(session, ada, NOON, wanted=QueueFilter(label="bag"))
    rows = session.scalars(select(ReviewItem).where(ReviewItem.leased_by == ada.id)).all()
    assert {row.label for row in rows} == {"bag"}
    assert len(held) == len(rows) == 2


def test_skipped_items_come_last(session: Session) -> None:
    ids = flag_many(session, 3)
    ada = person(session)
    claim(session, ada, NOON)
    decide(session, ada, decision(session, ids[0], Action.SKIP), NOON)
    assert claim(session, ada, NOON) == [ids[1], ids[2], ids[0]]
    release(session, ada)
    assert claim(session, person(session, "Ben"), NOON)[0] == ids[0]


def test_product_that_is_queued_anew_is_not_handed_out(session: Session) -> None:
    flag(session, "p1")
    accept(session, [job("p1")], LATER)
    assert session.get_one(Product, "p1").status == ProductStatus.QUEUED
    assert claim(session, person(session), LATER) == []
    assert not claim_one(session, person(session, "Ben"), item(session, "p1").tagging_id, LATER)


def test_what_is_kept_for_another_tab_is_neither_given_back_nor_handed_out(
    session: Session,
) -> None:
    ids = flag_many(session, 9)
    ada = person(session)
    first = claim(session, ada, NOON, limit=3)
    second = claim(session, ada, NOON, limit=3, keep=first)
    assert (first, second) == (ids[:3], ids[3:6])
    alike = claim_alike(session, ada, NOON, limit=3, keep=first)
    assert not set(alike) & set(first)
    assert not set(claim(session, person(session, "Ben"), NOON)) & {*first, *alike}
    assert claim(session, ada, NOON, limit=3) == first


def test_dispute_is_handed_to_leads_only(session: Session) -> None:
    tagging_id = flag(session, "p1")
    ada, ben = person(session, "Ada"), person(session, "Ben")
    decide(session, ada, decision(session, tagging_id), NOON, second_share=1)
    assert claim(session, ada, NOON) == []
    assert claim(session, ben, NOON) == [tagging_id]
    correct = decision(session, tagging_id, Action.CORRECT, label="dress")
    decide(session, ben, correct, NOON, second_share=1)
    assert claim(session, person(session, "Cem"), NOON) == []
    assert claim(session, person(session, "Lea", Role.LEAD), NOON) == [tagging_id]


def test_grid_takes_the_look_alikes_of_the_next_item(session: Session) -> None:
    ramp, back = np.arange(64) - 30, np.arange(64)[::-1] - 30
    for index in range(12):
        shape = ramp if index % 2 == 0 else back
        flag(session, f"p{index:02d}", 0.3 + index / 100, embedding=shape.astype("f2").tobytes())
    flag(session, "other", 0.35, label="bag", embedding=ramp.astype("f2").tobytes())
    found = claim_alike(session, person(session), NOON, limit=6)
    names = session.scalars(select(ReviewItem.product_id).where(ReviewItem.tagging_id.in_(found)))
    assert set(names) == {"p00", "p02", "p04", "p06", "p08", "p10"}


def test_grid_compares_nothing_that_two_networks_saw(session: Session) -> None:
    for index, network in enumerate(["photo", "reduced", "photo", "reduced"]):
        flag(session, f"p{index}", 0.3 + index / 100, network=NetworkName(network))
    record_model(session, manifest(model_version="test-2"), NOON)
    flag(session, "other", 0.5, network=NetworkName.PHOTO, model_version="test-2")
    found = claim_alike(session, person(session), NOON, limit=6)
    names = session.scalars(select(ReviewItem.product_id).where(ReviewItem.tagging_id.in_(found)))
    assert set(names) == {"p0", "p2"}


def test_grid_takes_what_is_near_enough_whatever_it_is_called(session: Session) -> None:
    calibrated = manifest(model_version="measured")
    networks = {name: replace(each, alike_min=0.9) for name, each in calibrated.networks.items()}
    record_model(session, replace(calibrated, networks=networks), NOON)
    shape = np.zeros((4, 64), "f2")
    shape[:, 0], shape[1, 1], shape[2, 1], shape[3, 1] = 1, 0.1, 0.4, 2
    for index, (label, each) in enumerate(zip(("coat", "bag", "coat", "coat"), shape, strict=True)):
        flag(
            session, f"p{index}", 0.3 + index / 100, label=label, embedding=each.tobytes(),
            model_version="measured", confidences=(0.1,) * 10,
        )  # fmt: skip
    found = claim_alike(session, person(session), NOON, limit=6)
    names = session.scalars(select(ReviewItem.product_id).where(ReviewItem.tagging_id.in_(found)))
    assert set(names) == {"p0", "p1", "p2"}  # p3, a coat too, lies too far away


def test_a_label_that_likeness_was_not_measured_of_stands_with_its_own(session: Session) -> None:
    calibrated = manifest(model_version="measured")
    networks = {
        name: replace(each, alike_min=0.9, alike_apart=("sandal", "sneaker"))
        for name, each in calibrated.networks.items()
    }
    record_model(session, replace(calibrated, networks=networks), NOON)
    shape = (np.arange(64) - 30).astype("f2").tobytes()
    labels = ("sandal", "sneaker", "coat", "sandal", "bag", "sneaker", "dress")
    for index, label in enumerate(labels):
        flag(
            session, f"p{index}", 0.3 + index / 100, label=label, runner_up="shirt",
            model_version="measured", embedding=shape, confidences=(0.1,) * 10,
        )  # fmt: skip
    # All have one embedding, and of all the same is said.
    assert all_groups(session) == [{"p0", "p3"}, {"p1", "p5"}, {"p2", "p4", "p6"}]


def test_near_items_of_which_different_things_are_said_are_not_one_group(session: Session) -> None:
    calibrated = manifest(model_version="measured")
    networks = {name: replace(each, alike_min=0.9) for name, each in calibrated.networks.items()}
    record_model(session, replace(calibrated, networks=networks), NOON)
    shape = (np.arange(64) - 30).astype("f2").tobytes()
    said = [(0.5, 0.5), (0.9, 0.1), (0.6, 0.4), (0.1, 0.9)]
    for index, (first, second) in enumerate(said):
        flag(
            session, f"p{index}", 0.3 + index / 100, model_version="measured", embedding=shape,
            confidences=(first, second, *(0.0,) * 8),
        )  # fmt: skip
    assert all_groups(session) == [{"p0", "p2"}, {"p1"}, {"p3"}]


def all_groups(session: Session) -> list[set[str]]:
    """The products of each group that the desk hands out, one after the other."""
    reviewer, taken, groups = person(session), list[int](), list[set[str]]()
    while found := claim_alike(session, reviewer, NOON, limit=8, keep=taken):
        taken += found
        mine = select(ReviewItem.product_id).where(ReviewItem.tagging_id.in_(found))
        groups.append(set(session.scalars(mine)))
    return groups


def test_fifty_concurrent_reviewers_never_hold_the_same_item(engine: Engine) -> None:
    make = sessions(engine)
    with make.begin() as session:
        flag_many(session, 400)
        people = [person(session, f"R{index}").id for index in range(50)]
    start = threading.Barrier(50)

    def take(reviewer_id: int) -> list[int]:
        start.wait()
        with make.begin() as session:
            return claim(session, session.get_one(Reviewer, reviewer_id), datetime.now(UTC))

    with ThreadPoolExecutor(50) as pool:
        claims = list(pool.map(take, people))
    taken = [tagging_id for held in claims for tagging_id in held]
    assert len(taken) == len(set(taken)) == 400
    assert max(map(len, claims)) == 10
