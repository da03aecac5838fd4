"""Twenty image hosts on real sockets, one dead or slow: the others' pictures come as fast."""

import itertools
import socket
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

from catalog.failures import FetchFailure
from catalog.fetching.fetcher import Fetcher, FetchLimits
from catalog.fetching.room import ByteRoom
from catalog.fetching.validators import Fetched
from lab.pipeline.image_host import image_host
from tests.catalog.fetching.fetchers import LOOPBACK
from worker.tagging.fetch_ahead import FetchAhead

GOOD = [f"127.0.3.{number}" for number in range(1, 20)]
ODD = "127.0.3.20"
DELAY_S = 0.05
BATCH, BATCHES = 95, 4
# What a batch of 95 takes on a core: a batch does not end before, and the next one is fetched.
COMPUTING_S = 0.4
PATIENCE_S = 2.0
SLOW_S = 5.0
TURNS = 5


class Child:
    """One batch after the other, each of them foreseen, as a worker's child has them."""

    def __init__(self, port: int, odd_port: int) -> None:
        limits = FetchLimits(allowed_networks=LOOPBACK, allowed_ports=("1-65535",))
        self.fetcher = Fetcher(limits, [])
        self._ahead = FetchAhead(self.fetcher.slots, ByteRoom(100_000_000, 25_000_000))
        self._port, self._odd_port = port, odd_port
        self._numbers = itertools.count()

    def batch(self, *, with_odd: bool) -> list[str]:
        """Five pictures of each good host, and of the odd one, too."""
        uris = [
            f"http://{GOOD[next(self._numbers) % len(GOOD)]}:{self._port}/photo.jpg"
            for _ in range(BATCH)
        ]
        if with_odd:
            for place in range(0, BATCH, len(GOOD)):
                uris.insert(place, f"http://{ODD}:{self._odd_port}/photo.jpg?{next(self._numbers)}")
        return uris

    def seconds(self, *, with_odd: bool) -> float:
        """How long some batches take, all of whose good pictures must come."""
        batches = [self.batch(with_odd=with_odd) for _ in range(BATCHES)]
        began = time.monotonic()
        for now, later in itertools.pairwise([*batches, []]):
            self._ahead.foresee(self.fetcher.fetch_validated, later)
            self._tag(now)
        return time.monotonic() - began

    def _tag(self, uris: list[str]) -> None:
        began = time.monotonic()
        patience_s = dict.fromkeys(range(len(uris)), PATIENCE_S)
        came = 0
        for key, future in self._ahead.arrivals(
            self.fetcher.fetch_validated, dict(enumerate(uris)), patience_s
        ):
            came += ODD not in uris[key] and self._is_there(future)
            self._ahead.decoded(future)
        assert came == BATCH
        time.sleep(max(0.0, began + COMPUTING_S - time.monotonic()))

    def _is_there(self, future: "Future[Fetched]") -> bool:
        return not isinstance(future.exception(), FetchFailure)


@contextmanager
def child_of(folder: Path, odd_port: int) -> Iterator[Child]:
    with image_host(folder, DELAY_S, *GOOD) as (url, _):
        child = Child(int(url.rpartition(":")[2]), odd_port)
        yield child
        child.fetcher.close()


def assert_holds_nobody(child: Child) -> None:
    child.seconds(with_odd=False)
    child.seconds(with_odd=True)  # finds out, and waits for it once
    ratios = []
    for _ in range(TURNS):
        alone = child.seconds(with_odd=False)
        ratios.append(alone / child.seconds(with_odd=True))
    assert statistics.median(ratios) >= 0.9, ratios


def test_a_dead_host_among_twenty_takes_no_more_than_a_tenth_from_the_others(
    tmp_path: Path,
) -> None:
    """It lets connect, and never says a word."""
    (tmp_path / "photo.jpg").write_bytes(bytes(20_000))
    with (
        socket.create_server((ODD, 0), backlog=1024) as dead,
        child_of(tmp_path, dead.getsockname()[1]) as child,
    ):
        assert_holds_nobody(child)


def test_a_slow_host_among_twenty_takes_no_more_than_a_tenth_from_the_others(
    tmp_path: Path,
) -> None:
    """It answers all, and each of them later than anyone waits."""
    (tmp_path / "photo.jpg").write_bytes(bytes(20_000))
    with (
        image_host(tmp_path, SLOW_S, ODD) as (url, _),
        child_of(tmp_path, int(url.rpartition(":")[2])) as child,
    ):
        assert_holds_nobody(child)
