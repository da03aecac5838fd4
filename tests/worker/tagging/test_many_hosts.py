"""Twenty image hosts on real sockets, one of them dead: the others' pictures come as fast."""

import itertools
import socket
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import pytest

from catalog.failures import FetchFailure
from catalog.fetching.fetcher import Fetcher, FetchLimits
from catalog.fetching.room import ByteRoom
from catalog.fetching.validators import Fetched
from lab.pipeline.image_host import image_host
from tests.catalog.fetching.fetchers import LOOPBACK
from worker.tagging.fetch_ahead import FetchAhead

LIVING = [f"127.0.3.{number}" for number in range(1, 20)]
DEAD = "127.0.3.20"
DELAY_S = 0.05
BATCH, BATCHES = 95, 4
# What a batch of 95 takes on a core: a batch does not end before, and the next one is fetched.
COMPUTING_S = 0.4
PATIENCE_S = 2.0
TURNS = 5


class Child:
    """One batch after the other, each of them foreseen, as a worker's child has them."""

    def __init__(self, port: int, dead_port: int) -> None:
        limits = FetchLimits(allowed_networks=LOOPBACK, allowed_ports=("1-65535",))
        self.fetcher = Fetcher(limits, [])
        self._ahead = FetchAhead(self.fetcher.slots, ByteRoom(100_000_000, 25_000_000))
        self._port, self._dead_port = port, dead_port
        self._numbers = itertools.count()

    def batch(self, *, with_dead: bool) -> list[str]:
        """Five pictures of each living host, and of the dead one, too."""
        uris = [
            f"http://{LIVING[next(self._numbers) % len(LIVING)]}:{self._port}/photo.jpg"
            for _ in range(BATCH)
        ]
        if with_dead:
            for place in range(0, BATCH, len(LIVING)):
                uris.insert(place, f"http://{DEAD}:{self._dead_port}/{next(self._numbers)}.jpg")
        return uris

    def seconds(self, *, with_dead: bool) -> float:
        """How long some batches take, all of whose living pictures must come."""
        batches = [self.batch(with_dead=with_dead) for _ in range(BATCHES)]
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
            assert self._is_there(future) == (DEAD not in uris[key])
            came += self._is_there(future)
            self._ahead.decoded(future)
        assert came == BATCH
        time.sleep(max(0.0, began + COMPUTING_S - time.monotonic()))

    def _is_there(self, future: "Future[Fetched]") -> bool:
        return not isinstance(future.exception(), FetchFailure)


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    (tmp_path / "photo.jpg").write_bytes(bytes(20_000))
    with image_host(tmp_path, DELAY_S, *LIVING) as (url, _), dead_host() as dead_port:
        child = Child(int(url.rpartition(":")[2]), dead_port)
        yield child
        child.fetcher.close()


@contextmanager
def dead_host() -> Iterator[int]:
    """It lets connect, and never says a word."""
    with socket.create_server((DEAD, 0), backlog=1024) as listening:
        yield int(listening.getsockname()[1])


def test_a_dead_host_among_twenty_takes_no_more_than_a_tenth_from_the_others(child: Child) -> None:
    child.seconds(with_dead=False)
    child.seconds(with_dead=True)  # finds out, and waits for it once
    ratios = []
    for _ in range(TURNS):
        alone = child.seconds(with_dead=False)
        ratios.append(alone / child.seconds(with_dead=True))
    assert statistics.median(ratios) >= 0.9, ratios
