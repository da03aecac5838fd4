"""Fetching a batch's remote pictures all at once, and leaving behind what does not come.

Waiting for a host costs no core, so it has threads of its own, apart from those that decode. A
host gets no more of them than connections: pictures of one that hangs wait in a list, and not in
the threads that others need.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from urllib.parse import urlsplit

from catalog.failures import FailureCode, FetchFailure

LOCAL_SCHEMES = ("", "file")
# How often a batch that nothing comes to looks at the time.
STEP_S = 0.05


def is_remote(uri: str) -> bool:
    """Whether fetching waits for another machine; nonsense is left to the fetcher to refuse."""
    return uri.partition(":")[0].lower() not in LOCAL_SCHEMES and not uri.startswith("/")


class FetchAhead:
    """Threads that fetch; one for each process.

    At most connections_max pictures are on their way or wait to be decoded: memory is bounded by
    as many of the largest. What a batch left behind goes on until its own deadline, and keeps its
    connection that long.
    """

    def __init__(
        self, fetch: Callable[[str], bytes], *, connections_max: int, per_host_max: int
    ) -> None:
        self._fetch = fetch
        self._threads = ThreadPoolExecutor(connections_max, thread_name_prefix="fetch")
        self._held_max, self._per_host_max = connections_max, per_host_max
        self._lock = threading.Lock()
        self._busy: Counter[str] = Counter()
        self._undecoded = 0
        self._waiting: dict[str, deque[_Wanted]] = {}

    def arrivals(
        self, uris: Mapping[int, str], patience_s: Mapping[int, float]
    ) -> Iterator[tuple[int, "Future[bytes]"]]:
        """Fetch all URIs, and yield each by its key when it has come, failed or not.

        The caller says `decoded` once for each. A picture is left behind, with a FetchFailure, when
        nothing at all has come for its patience and nothing is left to decode: as long as others
        arrive, its turn may only not have been reached.
        """
        arrived: SimpleQueue[tuple[int, Future[bytes]]] = SimpleQueue()
        wanted = {key: _Wanted(key=key, uri=uri, arrived=arrived) for key, uri in uris.items()}
        with self._lock:
            for each in wanted.values():
                self._waiting.setdefault(each.host, deque()).append(each)
            self._start_what_fits()
        idle_since = time.monotonic()
        while wanted:
            try:
                key, future = arrived.get(timeout=STEP_S)
            except Empty:
                if self._undecoded:
                    idle_since = time.monotonic()
                waited_s = time.monotonic() - idle_since
                for key in [key for key in wanted if patience_s[key] <= waited_s]:
                    yield key, self._leave(wanted.pop(key), waited_s)
                continue
            idle_since = time.monotonic()
            if wanted.pop(key, None) is None:
                self.decoded()  # left behind a moment ago
            else:
                yield key, future

    def decoded(self) -> None:
        """A picture's bytes are not needed any more: the next one may be fetched."""
        with self._lock:
            self._undecoded -= 1
            self._start_what_fits()

    def _start_what_fits(self) -> None:
        """Start what its host, and memory, have room for; the lock is held."""
        for host in list(self._waiting):
            waiting = self._waiting[host]
            while (
                waiting
                and self._busy[host] < self._per_host_max
                and self._busy.total() + self._undecoded < self._held_max
            ):
                self._busy[host] += 1
                self._threads.submit(self._run, waiting.popleft())
            # Hosts come and go; a long-lived process must not remember them all.
            if not waiting:
                del self._waiting[host]
            if not self._busy[host]:
                del self._busy[host]

    def _run(self, wanted: "_Wanted") -> None:
        try:
            wanted.future.set_result(self._fetch(wanted.uri))
        except BaseException as error:
            wanted.future.set_exception(error)
        with self._lock:
            self._busy[wanted.host] -= 1
            # Who left it behind reads no more arrivals: its bytes go at once.
            self._undecoded += not wanted.left
            if not wanted.left:
                wanted.arrived.put((wanted.key, wanted.future))
            self._start_what_fits()

    def _leave(self, wanted: "_Wanted", waited_s: float) -> "Future[bytes]":
        with self._lock:
            wanted.left = True
            waiting = self._waiting.get(wanted.host, deque())
            if wanted in waiting:
                waiting.remove(wanted)
            self._undecoded += 1  # until the caller says `decoded`, as for all others
        late: Future[bytes] = Future()
        late.set_exception(
            FetchFailure(
                FailureCode.FETCH_TIMEOUT,
                f"Expected the image from {wanted.host[:200]} like the others of its batch, found "
                f"it still on its way when nothing else had come for {waited_s:.1f} s. It goes on "
                "to a later batch, which waits longer.",
            )
        )
        return late


class _Wanted:
    """One picture to fetch, and where to say that it came."""

    def __init__(
        self, *, key: int, uri: str, arrived: "SimpleQueue[tuple[int, Future[bytes]]]"
    ) -> None:
        self.key, self.uri, self.arrived = key, uri, arrived
        self.host = _host(uri)
        self.left = False
        self.future: Future[bytes] = Future()


def _host(uri: str) -> str:
    try:
        return urlsplit(uri).hostname or ""
    except ValueError:
        return ""  # the fetcher says what is wrong with it
