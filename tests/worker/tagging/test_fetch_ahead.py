"""One slow host does not hold the pictures of the others."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass

import pytest

from catalog.failures import FailureCode, FetchFailure
from catalog.fetching.slots import ConnectionSlots, Slot
from catalog.fetching.validators import Fetched
from worker.tagging.fetch_ahead import FetchAhead, is_remote

PATIENCE_S = 0.3
HANGS_S = 60.0


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
        ahead.threads.decoded()
    return found


def ahead_of(hosts: Hosts, *, connections: int = 16, per_host: int = 4) -> Ahead:
    slots = ConnectionSlots(per_host_max=per_host, total_max=connections)
    return Ahead(hosts, slots, FetchAhead(slots))


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
    next(arrivals)
    time.sleep(0.2)
    assert hosts.count == 5
    ahead.threads.decoded()
    for _ in arrivals:
        ahead.threads.decoded()
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
