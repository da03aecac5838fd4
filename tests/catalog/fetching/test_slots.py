"""One count of busy connections, whoever takes them."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from catalog.failures import FailureCode, FetchFailure
from catalog.fetching.deadline import Deadline
from catalog.fetching.slots import ConnectionSlots, Slot


@pytest.fixture
def slots() -> ConnectionSlots:
    return ConnectionSlots(per_host_max=2, total_max=3)


def taken(slots: ConnectionSlots, host: str) -> Slot:
    slot = slots.take(host)
    assert slot is not None
    return slot


def test_a_host_gets_no_more_than_its_share_and_all_no_more_than_there_are(
    slots: ConnectionSlots,
) -> None:
    for _ in range(2):
        taken(slots, "a")
    assert slots.take("a") is None
    taken(slots, "b")
    assert slots.take("b") is None
    assert slots.take("c") is None


def test_a_slot_that_is_given_back_twice_is_free_once(slots: ConnectionSlots) -> None:
    first, _ = taken(slots, "a"), taken(slots, "a")
    for _ in range(2):
        first.free()
    taken(slots, "a")
    assert slots.take("a") is None


def test_a_slot_taken_ahead_is_used_and_not_counted_twice(slots: ConnectionSlots) -> None:
    ahead = taken(slots, "a")
    with slots.hold("a", Deadline(5), ahead):
        taken(slots, "a")
        assert slots.take("a") is None
    # Whoever took it frees it: the fetch may go on, such as to a second hop on the same host.
    assert not ahead.is_free


def test_a_slot_taken_ahead_is_given_back_where_the_way_leads_elsewhere(
    slots: ConnectionSlots,
) -> None:
    ahead = taken(slots, "a")
    with slots.hold("b", Deadline(5), ahead):
        assert ahead.is_free
        for _ in range(2):
            taken(slots, "a")
        assert slots.take("b") is None
    taken(slots, "b")


def test_who_waits_goes_on_when_a_slot_becomes_free(slots: ConnectionSlots) -> None:
    mine = [taken(slots, "a") for _ in range(2)]
    inside = threading.Event()

    def wait() -> None:
        with slots.hold("a", Deadline(30)):
            inside.set()

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait)
        assert not inside.is_set()
        mine[0].free()
        waiting.result(30)
    assert inside.is_set()


def test_waiting_ends_with_the_deadline(slots: ConnectionSlots) -> None:
    for _ in range(2):
        taken(slots, "a")
    with pytest.raises(FetchFailure) as caught, slots.hold("a", Deadline(0.05)):
        pass
    assert caught.value.code is FailureCode.FETCH_TIMEOUT


def test_how_long_a_host_takes_is_told_by_the_quickest_of_its_last_answers() -> None:
    now = 0.0
    slots = ConnectionSlots(per_host_max=8, total_max=8, clock=lambda: now)
    assert slots.takes_s("host") == 0.0
    for began, ended in ((0.0, 5.0), (5.0, 13.0)):
        now = ended
        slots.answered("host", began)
    assert slots.takes_s("host") == 5.0
    for began, ended in ((20.0, 20.5), (30.0, 39.0), (40.0, 49.0), (50.0, 58.0), (60.0, 67.0)):
        now = ended
        slots.answered("host", began)
    assert slots.takes_s("host") == 7.0
