"""Hosts that bear little, much, ever less or nothing, on a clock that is only a number."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from catalog.fetching.pace import START, HostPace
from catalog.fetching.slots import HOSTS_KEPT, ConnectionSlots, Slot

# Seconds that an answer takes, by the time and how many are open at once; None: refused at once.
Host = Callable[[float, int], float | None]
REFUSAL_S = 0.01


@dataclass
class World:
    """Clients that always want another picture from each host, and what came of it."""

    hosts: dict[str, Host]
    per_host_max: int = 64
    total_max: int = 64
    now: float = 0.0
    answers: dict[str, int] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)
    limits: dict[str, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.slots = ConnectionSlots(
            per_host_max=self.per_host_max, total_max=self.total_max, clock=lambda: self.now
        )
        self._open: dict[str, int] = dict.fromkeys(self.hosts, 0)
        self._coming: list[tuple[float, int, str, float, bool, Slot]] = []
        self._number = 0
        self._start()

    def run(self, seconds: float) -> None:
        """Let so much time pass, and count anew what happens in it."""
        until = self.now + seconds
        for counted in (self.answers, self.refusals):
            counted.clear()
            counted.update(dict.fromkeys(self.hosts, 0))
        self.limits = {host: [] for host in self.hosts}
        while self._coming and self._coming[0][0] <= until:
            self.now, _, host, began, well, slot = heapq.heappop(self._coming)
            self._open[host] -= 1
            (self.answers if well else self.refusals)[host] += 1
            (self.slots.answered if well else self.slots.refused)(host, began)
            slot.free()
            self.limits[host].append(self.slots.limit(host))
            self._start()
        self.now = until

    def _start(self) -> None:
        started = True
        while started:
            started = False
            for host, answer in self.hosts.items():
                slot = self.slots.take(host)
                if slot is None:
                    continue
                started = True
                self._open[host] += 1
                took = answer(self.now, self._open[host])
                self._number += 1
                done = self.now + (REFUSAL_S if took is None else took)
                heapq.heappush(
                    self._coming, (done, self._number, host, self.now, took is not None, slot)
                )


def quick(now: float, at_once: int) -> float:
    return 0.05


def of_four(now: float, at_once: int) -> float:
    """Four processes of 50 ms each: what comes more waits in its queue."""
    return 0.05 * max(1.0, at_once / 4)


def strict(now: float, at_once: int) -> float | None:
    """Answers 429 beyond twelve at once."""
    return 0.05 if at_once <= 12 else None


def dead(now: float, at_once: int) -> float:
    return 20.0


def test_a_host_that_bears_all_gets_the_cap() -> None:
    world = World({"quick": quick}, per_host_max=32)
    assert world.slots.limit("quick") == START
    world.run(10)
    assert world.slots.limit("quick") == 32
    world.run(10)
    assert world.answers["quick"] == pytest.approx(10 * 32 / 0.05, rel=0.02)


def test_a_host_that_refuses_is_asked_about_as_much_as_it_bears() -> None:
    world = World({"strict": strict})
    world.run(20)
    world.run(60)
    assert min(world.limits["strict"]) >= 5
    assert max(world.limits["strict"]) <= 13
    assert world.refusals["strict"] < 0.08 * world.answers["strict"]
    assert world.answers["strict"] > 0.6 * 60 * 12 / 0.05


def test_a_host_whose_answers_become_slow_is_not_buried_and_loses_nothing() -> None:
    world = World({"of four": of_four})
    world.run(20)
    world.run(900)  # longer than its best is remembered
    assert max(world.limits["of four"]) <= 20
    assert world.answers["of four"] > 0.95 * 900 * 4 / 0.05


def test_a_host_that_becomes_weak_is_left_alone_and_found_again_when_it_recovers() -> None:
    def changing(now: float, at_once: int) -> float | None:
        return None if 30 <= now < 60 and at_once > 2 else 0.05

    world = World({"host": changing}, per_host_max=32)
    world.run(30)
    assert world.slots.limit("host") == 32
    world.run(30)
    assert world.slots.limit("host") <= 3
    world.run(30)
    assert world.slots.limit("host") == 32


def test_a_host_that_does_not_answer_keeps_one_connection_and_no_more() -> None:
    world = World({"dead": dead})
    pace = HostPace(32)
    for began in range(0, 100, 20):
        pace.refused(began=began, now=began + 20.0)
    assert pace.limit == 1
    world.run(1)
    assert world.slots.limit("dead") == START


def test_answers_to_what_began_before_it_was_lowered_do_not_lower_it_again() -> None:
    pace = HostPace(64)
    for began in (0.0, 0.1, 0.2):
        pace.refused(began=began, now=1.0)
    assert pace.limit == START // 2
    pace.refused(began=1.0, now=2.0)
    assert pace.limit == START // 4


def test_a_host_that_is_asked_for_little_is_not_thought_to_bear_more() -> None:
    pace = HostPace(64)
    for step in range(1_000):
        pace.answered(began=step, now=step + 0.05, busy=3)
    assert pace.limit == START


@pytest.mark.parametrize("odd", [dead, lambda now, at_once: 2.0], ids=["dead", "slow"])
def test_one_dead_or_slow_host_takes_nothing_from_nineteen_others(odd: Host) -> None:
    healthy = {f"host {number}": quick for number in range(19)}
    alone, beside = World(dict(healthy)), World({"odd": odd, **healthy})
    for world in (alone, beside):
        world.run(3)
        world.run(4)
    assert sum(beside.answers[name] for name in healthy) > 0.9 * sum(alone.answers.values())
    assert min(beside.answers[name] for name in healthy) > 0.9 * min(alone.answers.values())


def test_what_had_everything_gives_way_as_its_answers_come() -> None:
    now = 0.0
    slots = ConnectionSlots(per_host_max=8, total_max=8, clock=lambda: now)
    first = [slots.take("first") for _ in range(8)]
    assert None not in first
    assert slots.take("second") is None
    for slot in first[:4]:
        assert slot is not None
        slot.free()
        assert slots.take("second") is not None
        assert slots.take("first") is None
    fifth = first[4]
    assert fifth is not None
    fifth.free()
    assert slots.take("first") is not None  # both have their share, and may have the rest


def test_a_host_that_asked_and_went_away_keeps_nothing_from_others() -> None:
    now = 0.0
    slots = ConnectionSlots(per_host_max=8, total_max=8, clock=lambda: now)
    taken = [slots.take("first") for _ in range(8)]
    assert slots.take("gone") is None
    assert taken[0] is not None
    taken[0].free()
    assert slots.take("first") is None
    now = 1.5
    assert slots.take("first") is not None


def test_a_long_life_does_not_remember_all_hosts() -> None:
    slots = ConnectionSlots(per_host_max=8, total_max=8)
    for number in range(2 * HOSTS_KEPT):
        slots.refused(f"host {number}", slots.now())
    assert len(slots._paces) <= HOSTS_KEPT


def test_a_new_host_that_bears_much_soon_gets_it_and_then_one_more_at_a_time() -> None:
    world = World({"quick": quick})
    world.run(1.5)  # thirty rounds; one more in each would be 38
    assert world.slots.limit("quick") == 64
    pace = HostPace(64)
    pace.refused(began=0.0, now=0.0)
    assert pace.limit == START // 2
    for _ in range(START // 2):
        pace.answered(began=1.0, now=1.05, busy=64)
    assert pace.limit == START // 2 + 1


def test_a_host_that_becomes_slower_for_good_is_not_starved_for_it() -> None:
    def farther(now: float, at_once: int) -> float:
        return 0.05 if now < 10 else 0.4

    world = World({"host": farther})
    world.run(10)
    world.run(30)
    assert min(world.limits["host"]) >= 30
    assert world.slots.limit("host") >= 60


def test_silence_is_told_until_a_host_answers() -> None:
    now = 0.0
    slots = ConnectionSlots(per_host_max=8, total_max=8, clock=lambda: now)
    first, second = slots.take("host"), slots.take("host")
    assert first is not None
    assert second is not None
    now = 3.0
    assert slots.silent_s("host") == 3.0
    slots.answered("host", 0.0)
    first.free()
    now = 4.0
    assert slots.silent_s("host") == 1.0  # it owes the other one
    slots.refused("host", 0.0, silently=True)
    second.free()
    now = 100.0
    assert slots.silent_s("host") == 97.0
    third = slots.take("host")
    assert third is not None
    slots.refused("host", 100.0)  # 429 is an answer, too
    third.free()
    now = 200.0
    assert slots.silent_s("host") == 0.0
    assert slots.take("host") is not None
    now = 201.0
    assert slots.silent_s("host") == 1.0
