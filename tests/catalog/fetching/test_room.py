"""So many bytes of fetched pictures, and none of the batch at work waits for a later one."""

import threading

import pytest

from catalog.failures import FailureCode, FetchFailure
from catalog.fetching.deadline import Deadline
from catalog.fetching.room import ByteRoom, Holding


def deadline() -> Deadline:
    return Deadline(20.0)


def test_more_than_there_is_room_for_waits_until_something_goes() -> None:
    room = ByteRoom(100, 40)
    first, second, third = (Holding(early=False) for _ in range(3))
    room.take(first, 40, deadline())
    room.take(second, 40, deadline())
    waiting = threading.Thread(target=room.take, args=(third, 30, deadline()))
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    assert room.taken == 80
    room.settle(first, 0)
    waiting.join(20)
    assert not waiting.is_alive()
    assert room.taken == 70


def test_what_waits_too_long_is_a_timeout() -> None:
    room = ByteRoom(100, 40)
    room.take(Holding(early=False), 80, deadline())
    with pytest.raises(FetchFailure) as caught:
        room.take(Holding(early=False), 40, Deadline(0.05))
    assert caught.value.code is FailureCode.FETCH_TIMEOUT
    assert room.taken == 80


def test_a_later_batch_gets_half_and_leaves_the_rest_to_the_one_at_work() -> None:
    room = ByteRoom(100, 40)
    early = Holding(early=True)
    room.take(early, 40, deadline())
    assert room.has_room_early(10)
    assert not room.has_room_early(11)
    room.take(Holding(early=False), 60, Deadline(0.05))
    room.claim(early)
    room.settle(early, 0)
    assert room.has_room_early(40)


def test_a_fetch_whose_batch_begins_waits_for_the_whole_room() -> None:
    room = ByteRoom(100, 40)
    early, other = Holding(early=True), Holding(early=True)
    room.take(early, 40, deadline())
    waiting = threading.Thread(target=room.take, args=(other, 40, deadline()))
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    room.claim(other)
    waiting.join(20)
    assert not waiting.is_alive()


def test_two_of_the_largest_pictures_always_fit() -> None:
    room = ByteRoom(1, 40)
    room.take(Holding(early=True), 40, Deadline(0.05))
    room.take(Holding(early=False), 40, Deadline(0.05))


def test_what_came_smaller_than_it_was_announced_gives_back_the_rest() -> None:
    room = ByteRoom(100, 40)
    holding = Holding(early=True)
    room.take(holding, 40, deadline())
    room.settle(holding, 3)
    assert room.taken == 3
    room.settle(holding, 0)
    assert room.taken == 0
    assert room.has_room_early(50)
