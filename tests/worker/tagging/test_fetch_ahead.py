"""One slow host does not hold the pictures of the others."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass

import pytest

from catalog.failures import FailureCode, FetchFailure
from catalog.fetching.deadline import Deadline
from catalog.fetching.room import ByteRoom
from catalog.fetching.slots import ConnectionSlots, Slot
from catalog.fetching.validators import Fetched
from worker.tagging.fetch_ahead import GRACE_S, FetchAhead, is_remote

PATIENCE_S = 0.3
HANGS_S = 60.0
ROOM_BYTES, PICTURE_BYTES = 10_000, 1_000


class Hosts:
    """Answers at once; `hang` answers when it is released; counts what is on its way."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.busy: dict[str, int] = {}
        self.most: dict[str, int] = {}
        self.count = 0
        self._lock = threading.Lock()

    def fetch(self, uri: str, slot: Slot) -> Fetched:
        host = uri.split("/")[2]
        with self._lock:
            self.count += 1
            self.busy[host] = self.busy.get(host, 0) + 1
            self.most[host] = max(self.most.get(host, 0), self.busy[host])
        if host == "hang":
            self.released.wait(HANGS_S)
        else:
            time.sleep(0.05 if host == "steady" else 0.005)
        with self._lock:
            self.busy[host] -= 1
        if uri.endswith("gone"):
            raise FetchFailure(FailureCode.NOT_FOUND, "gone")
        return Fetched(data=uri.encode())


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    hosts = Hosts()
    yield hosts
    hosts.released.set()


@dataclass(frozen=True)
class Ahead:
    """Fetches from some hosts, through slots of its own."""

    hosts: Hosts
    slots: ConnectionSlots
    room: ByteRoom
    threads: FetchAhead

    def arrivals(
        self, uris: Mapping[int, str], patience_s: Mapping[int, float]
    ) -> Iterator[tuple[int, "Future[Fetched]"]]:
        return self.threads.arrivals(self.hosts.fetch, uris, patience_s)


def all_of(
    ahead: Ahead, uris: list[str], patience: Callable[[str], float] = lambda _: PATIENCE_S
) -> dict[str, bytes | FailureCode]:
    found: dict[str, bytes | FailureCode] = {}
    patience_s = {key: patience(uri) for key, uri in enumerate(uris)}
    for key, future in ahead.arrivals(dict(enumerate(uris)), patience_s):
        error = future.exception()
        found[uris[key]] = error.code if isinstance(error, FetchFailure) else future.result().data
        ahead.threads.decoded(future)
    return found


def ahead_of(hosts: Hosts, *, connections: int = 16, per_host: int = 4) -> Ahead:
    slots = ConnectionSlots(per_host_max=per_host, total_max=connections)
    room = ByteRoom(ROOM_BYTES, PICTURE_BYTES)
    return Ahead(hosts, slots, room, FetchAhead(slots, room, usual_bytes=16))


def test_every_picture_comes_once_failed_or_not(hosts: Hosts) -> None:
    uris = [f"http://fast{n % 3}/{n}" for n in range(50)] + ["http://fast0/gone"]
    found = all_of(ahead_of(hosts), uris)
    assert found.pop("http://fast0/gone") is FailureCode.NOT_FOUND
    assert found == {uri: uri.encode() for uri in uris[:-1]}


def test_a_host_that_hangs_is_left_behind_and_holds_nobody(hosts: Hosts) -> None:
    ahead = ahead_of(hosts)
    uris = [f"http://hang/{n}" for n in range(40)] + [f"http://fast/{n}" for n in range(40)]
    started = time.monotonic()
    found = all_of(ahead, uris)
    assert time.monotonic() - started < HANGS_S / 2
    assert [found[uri] for uri in uris[:40]] == [FailureCode.FETCH_TIMEOUT] * 40
    assert [found[uri] for uri in uris[40:]] == [uri.encode() for uri in uris[40:]]
    # Four of its pictures are still on their way; those of the next batch come all the same.
    again = [f"http://fast/again-{n}" for n in range(40)]
    assert all_of(ahead, again) == {uri: uri.encode() for uri in again}
    assert hosts.most["hang"] == 4


def test_no_host_gets_more_connections_than_allowed(hosts: Hosts) -> None:
    all_of(ahead_of(hosts, per_host=3), [f"http://fast/{n}" for n in range(40)])
    assert hosts.most["fast"] == 3


def test_a_slow_host_is_waited_for_as_long_as_pictures_come(hosts: Hosts) -> None:
    # One connection: the last picture comes long after its patience, but the others did come.
    ahead = ahead_of(hosts, per_host=1)
    uris = [f"http://steady/{n}" for n in range(40)]
    found = all_of(ahead, uris, lambda _: 1.5)
    assert found == {uri: uri.encode() for uri in uris}


def test_the_most_patient_picture_is_waited_for_longest(hosts: Hosts) -> None:
    threading.Timer(3 * PATIENCE_S, hosts.released.set).start()
    long = "http://hang/long"
    found = all_of(
        ahead_of(hosts),
        ["http://hang/short", long],
        lambda uri: 20 * PATIENCE_S if uri == long else PATIENCE_S,
    )
    assert found == {"http://hang/short": FailureCode.FETCH_TIMEOUT, long: long.encode()}


def test_what_waits_to_be_decoded_is_bounded(hosts: Hosts) -> None:
    ahead = ahead_of(hosts, connections=5, per_host=5)
    uris = {n: f"http://fast/{n}" for n in range(30)}
    arrivals = ahead.arrivals(uris, dict.fromkeys(uris, PATIENCE_S))
    _, first = next(arrivals)
    time.sleep(0.2)
    assert hosts.count == 5
    ahead.threads.decoded(first)
    for _, future in arrivals:
        ahead.threads.decoded(future)
    assert hosts.count == 30


def test_what_was_fetched_over_other_ways_counts_against_the_same_limit(hosts: Hosts) -> None:
    ahead = ahead_of(hosts, per_host=2)
    elsewhere = ahead.slots.take("fast")
    assert elsewhere is not None
    all_of(ahead, [f"http://fast/{n}" for n in range(20)])
    assert hosts.most["fast"] == 1
    elsewhere.free()
    all_of(ahead, [f"http://fast/again-{n}" for n in range(20)])
    assert hosts.most["fast"] == 2


def test_every_slot_is_free_again_after_a_batch(hosts: Hosts) -> None:
    ahead = ahead_of(hosts, connections=3, per_host=3)
    all_of(ahead, [f"http://fast{n % 4}/{n}" for n in range(20)] + ["http://fast0/gone"])
    assert all(ahead.slots.take("any") for _ in range(3))
    assert ahead.slots.take("any") is None


@pytest.mark.parametrize(
    ("uri", "remote"),
    [("https://a/b", True), ("s3://a/b", True), ("/a/b", False), ("file:///a", False), ("", False)],
)
def test_only_what_comes_from_elsewhere_is_fetched_ahead(uri: str, remote: bool) -> None:
    assert is_remote(uri) is remote


def patiently(_: str) -> float:
    return HANGS_S


def foreseen(ahead: Ahead, now: list[str], later: list[str]) -> None:
    """Tag `now` while `later` is foreseen."""
    ahead.threads.foresee(ahead.hosts.fetch, later)
    assert set(all_of(ahead, now, patiently)) == set(now)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_the_next_batch_asks_for_is_fetched_meanwhile_and_once(hosts: Hosts) -> None:
    ahead = ahead_of(hosts)
    later = [f"http://fast/later-{n}" for n in range(9)] + ["http://fast/gone"]
    foreseen(ahead, ["http://fast/now"], later)
    wait_for(lambda: hosts.count == 11)
    found = all_of(ahead, later, patiently)
    assert found.pop("http://fast/gone") is FailureCode.NOT_FOUND
    assert found == {uri: uri.encode() for uri in later[:-1]}
    assert hosts.count == 11
    assert ahead.room.taken == 0


def test_what_is_foreseen_and_still_on_its_way_is_waited_for(hosts: Hosts) -> None:
    ahead = ahead_of(hosts)
    later = [f"http://hang/{n}" for n in range(8)]  # four on their way, four in the line
    foreseen(ahead, ["http://fast/now"], later)
    threading.Timer(0.1, hosts.released.set).start()
    found = all_of(ahead, later, patiently)
    assert found == {uri: uri.encode() for uri in later}
    assert hosts.count == 9


def test_the_same_picture_of_two_products_is_fetched_for_each(hosts: Hosts) -> None:
    ahead = ahead_of(hosts)
    twice = ["http://fast/same", "http://fast/same"]
    foreseen(ahead, ["http://fast/now"], twice)
    arrivals = ahead.arrivals(dict(enumerate(twice)), {0: HANGS_S, 1: HANGS_S})
    assert sorted(key for key, _ in arrivals) == [0, 1]
    assert hosts.count == 3


def test_what_was_foreseen_and_not_asked_for_goes(hosts: Hosts) -> None:
    ahead = ahead_of(hosts)
    foreseen(ahead, ["http://fast/now"], [f"http://fast/later-{n}" for n in range(9)])
    wait_for(lambda: ahead.room.taken > 0 and hosts.count == 10)
    all_of(ahead, ["http://fast/other"], patiently)
    wait_for(lambda: ahead.room.taken == 0)
    assert all(ahead.slots.take("any") for _ in range(4))


def test_the_batch_at_work_comes_first(hosts: Hosts) -> None:
    ahead = ahead_of(hosts, connections=8, per_host=1)
    asked: list[str] = []

    def fetch(uri: str, slot: Slot) -> Fetched:
        asked.append(uri)
        return hosts.fetch(uri, slot)

    ahead.threads.foresee(fetch, ["http://fast/later"])
    uris = {n: f"http://fast/{n}" for n in range(5)}
    for _, future in ahead.threads.arrivals(fetch, uris, dict.fromkeys(uris, HANGS_S)):
        ahead.threads.decoded(future)
    wait_for(lambda: len(asked) == 6)
    assert asked[-1] == "http://fast/later"


def test_what_is_fetched_ahead_is_bounded_in_bytes(hosts: Hosts) -> None:
    """Of pictures of 1,000 bytes, announced as such, half of a room for ten."""
    ahead = ahead_of(hosts)

    def fetch(uri: str, slot: Slot) -> Fetched:
        slot.expect(PICTURE_BYTES, Deadline(HANGS_S))
        hosts.fetch(uri, slot)
        return Fetched(data=bytes(PICTURE_BYTES))

    def run(uris: list[str]) -> None:
        arrivals = ahead.threads.arrivals(
            fetch, dict(enumerate(uris)), dict.fromkeys(range(len(uris)), HANGS_S)
        )
        for _, future in arrivals:
            assert ahead.room.taken <= ROOM_BYTES
            ahead.threads.decoded(future)

    run([f"http://fast/learn-{n}" for n in range(300)])  # how large they usually are
    later = [f"http://fast/later-{n}" for n in range(30)]
    ahead.threads.foresee(fetch, later)
    before = hosts.count
    run(["http://fast/now"])
    wait_for(lambda: hosts.count >= before + 1 + ROOM_BYTES // PICTURE_BYTES // 2)
    time.sleep(0.3)
    assert hosts.count == before + 1 + ROOM_BYTES // PICTURE_BYTES // 2
    assert ahead.room.taken == ROOM_BYTES // 2
    run(later)
    assert hosts.count == before + 1 + len(later)
    assert ahead.room.taken == 0


def test_a_host_that_is_dead_holds_the_first_batch_only(hosts: Hosts) -> None:
    ahead = ahead_of(hosts)
    patience_s = 6.0

    def batch(name: str) -> float:
        uris = [f"http://hang/{name}-{n}" for n in range(6)]
        uris += [f"http://fast/{name}-{n}" for n in range(6)]
        started = time.monotonic()
        found = all_of(ahead, uris, lambda _: patience_s)
        assert [found[uri] for uri in uris[:6]] == [FailureCode.FETCH_TIMEOUT] * 6
        assert [found[uri] for uri in uris[6:]] == [uri.encode() for uri in uris[6:]]
        return time.monotonic() - started

    assert batch("first") >= patience_s
    assert max(batch("second"), batch("third")) < patience_s


def test_a_host_that_speaks_again_is_waited_for_again(hosts: Hosts) -> None:
    ahead = ahead_of(hosts)
    all_of(ahead, ["http://hang/0"])
    assert ahead.slots.silent_s("hang") > 0
    hosts.released.set()
    wait_for(lambda: not hosts.busy["hang"])
    ahead.slots.answered("hang", ahead.slots.now())
    assert ahead.slots.silent_s("hang") == 0
    hosts.released.clear()
    threading.Timer(GRACE_S + 0.5, hosts.released.set).start()
    assert all_of(ahead, ["http://hang/1"], patiently) == {"http://hang/1": b"http://hang/1"}
