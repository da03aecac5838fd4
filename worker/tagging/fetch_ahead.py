"""Fetching a batch's remote pictures all at once, and leaving behind what does not come.

Waiting for a host costs no core, so it has threads of its own, apart from those that decode. A
host gets no more of them than connections: pictures of one that hangs wait in a list, and not in
the threads that others need.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from urllib.parse import urlsplit

from catalog.failures import FailureCode, FetchFailure
from catalog.fetching.host_names import with_ascii_host
from catalog.fetching.slots import ConnectionSlots, Slot
from catalog.fetching.validators import Fetched

# Fetches one picture over a connection that was taken ahead for it.
FetchOver = Callable[[str, Slot], Fetched]

LOCAL_SCHEMES = ("", "file")
# How often a batch that nothing comes to looks at the time.
STEP_S = 0.05


def is_remote(uri: str) -> bool:
    """Whether fetching waits for another machine; nonsense is left to the fetcher to refuse."""
    return uri.partition(":")[0].lower() not in LOCAL_SCHEMES and not uri.startswith("/")


class FetchAhead:
    """Threads that fetch; one for each process.

    As many pictures as there are connections are on their way or wait to be decoded, at most:
    memory is bounded by as many of the largest. What a batch left behind goes on until its own
    deadline, and keeps its connection that long.

    Three kinds of threads meet here: the batch's own, in `arrivals`; those that fetch, in `_run`;
    those that decode, in `decoded`. All that they share is changed under the lock. The slots have
    a lock of their own, which is only ever taken inside of this one, never around it.
    """

    def __init__(self, slots: ConnectionSlots) -> None:
        self._slots = slots
        self._threads = ThreadPoolExecutor(slots.total_max, thread_name_prefix="fetch")
        self._lock = threading.Lock()
        self._on_their_way = 0
        self._undecoded = 0
        self._waiting: dict[str, deque[_Wanted]] = {}

    def arrivals(
        self, fetch: FetchOver, uris: Mapping[int, str], patience_s: Mapping[int, float]
    ) -> Iterator[tuple[int, "Future[Fetched]"]]:
        """Fetch all URIs, and yield each by its key when it has come, failed or not.

        The caller says `decoded` once for each. A picture is left behind, with a FetchFailure, when
        nothing at all has come for its patience and nothing is left to decode: as long as others
        arrive, its turn may only not have been reached.
        """
        arrived: SimpleQueue[_Wanted] = SimpleQueue()
        wanted = {
            key: _Wanted(key=key, uri=uri, fetch=fetch, arrived=arrived)
            for key, uri in uris.items()
        }
        with self._lock:
            for each in wanted.values():
                self._waiting.setdefault(each.host, deque()).append(each)
            self._start_what_fits()
        idle_since = time.monotonic()
        while wanted:
            try:
                come = arrived.get(timeout=STEP_S)
            except Empty:
                with self._lock:
                    # A slot may have become free elsewhere, after a redirect.
                    self._start_what_fits()
                if self._undecoded:
                    idle_since = time.monotonic()
                waited_s = time.monotonic() - idle_since
                for key in [key for key in wanted if patience_s[key] <= waited_s]:
                    yield key, self._leave(wanted.pop(key), waited_s)
                continue
            idle_since = time.monotonic()
            if wanted.pop(come.key, None) is None:
                # It was put into the queue, and counted as undecoded, between the Empty above and
                # its `_leave`, which counted it once more: one of the two is taken back here.
                self.decoded()
            else:
                yield come.key, come.future

    def decoded(self) -> None:
        """A picture's bytes are not needed any more: the next one may be fetched."""
        with self._lock:
            self._undecoded -= 1
            self._start_what_fits()

    def _start_what_fits(self) -> None:
        """Start what its host, and memory, have room for; the lock is held."""
        for host in list(self._waiting):
            waiting = self._waiting[host]
            while waiting and self._on_their_way + self._undecoded < self._slots.total_max:
                slot = self._slots.take(host)
                if slot is None:
                    break
                self._on_their_way += 1
                self._threads.submit(self._run, waiting.popleft(), slot)
            # Hosts come and go; a long-lived process must not remember them all.
            if not waiting:
                del self._waiting[host]

    def _run(self, wanted: "_Wanted", slot: Slot) -> None:
        try:
            wanted.future.set_result(wanted.fetch(wanted.uri, slot))
        except BaseException as error:
            wanted.future.set_exception(error)
        slot.free()
        with self._lock:
            self._on_their_way -= 1
            # Left behind before this point, nobody reads its arrival, and its bytes go at once.
            # After it, its batch finds it in the queue: `left` cannot change in between, as
            # `_leave` takes the same lock.
            if not wanted.left:
                self._undecoded += 1
                wanted.arrived.put(wanted)
            self._start_what_fits()

    def _leave(self, wanted: "_Wanted", waited_s: float) -> "Future[Fetched]":
        with self._lock:
            wanted.left = True
            waiting = self._waiting.get(wanted.host, deque())
            if wanted in waiting:
                waiting.remove(wanted)
            self._undecoded += 1  # until the caller says `decoded`, as for all others
        late: Future[Fetched] = Future()
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
        self, *, key: int, uri: str, fetch: FetchOver, arrived: "SimpleQueue[_Wanted]"
    ) -> None:
        self.key, self.uri, self.fetch, self.arrived = key, uri, fetch, arrived
        self.host = _host(uri)
        self.left = False
        self.future: Future[Fetched] = Future()


def _host(uri: str) -> str:
    try:
        return urlsplit(with_ascii_host(uri)).hostname or ""
    except ValueError:
        return ""  # the fetcher says what is wrong with it
