"""Fetching a batch's remote pictures all at once, and the next one's while this one is at work.

What does not come is left behind. Waiting for a host costs no core, so it has threads of its own,
apart from those that decode. A host gets no more of them than connections: pictures of one that
hangs wait in a list, and not in the threads that others need.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from functools import partial
from queue import Empty, SimpleQueue
from urllib.parse import urlsplit

from catalog.failures import FailureCode, FetchFailure
from catalog.fetching.host_names import with_ascii_host
from catalog.fetching.room import ByteRoom, Holding
from catalog.fetching.slots import ConnectionSlots, Slot
from catalog.fetching.validators import Fetched

# Fetches one picture over a connection that was taken ahead for it.
FetchOver = Callable[[str, Slot], Fetched]

LOCAL_SCHEMES = ("", "file")
# How often a batch that nothing comes to looks at the time.
STEP_S = 0.05
# A host that has been silent so far is given so long to answer a request.
GRACE_S = 0.5
# Of a picture, before any has come.
USUAL_BYTES = 1_000_000.0
# Of the next batch, at most; chunks have no more.
FORESEEN_MAX = 256


def is_remote(uri: str) -> bool:
    """Whether fetching waits for another machine; nonsense is left to the fetcher to refuse."""
    return uri.partition(":")[0].lower() not in LOCAL_SCHEMES and not uri.startswith("/")


@dataclass(frozen=True, kw_only=True)
class Foreseen:
    """The remote pictures that a child's next batch will ask for.

    of_run: they belong to a re-tagging run, which may find that they need not be fetched.
    """

    uris: tuple[str, ...]
    of_run: bool


class FetchAhead:
    """Threads that fetch; one for each process.

    As many pictures as there are connections are on their way or wait to be decoded, at most, and
    no more bytes than there is room for. What a batch left behind goes on until its own deadline,
    and keeps its connection that long. What the next batch will ask for is fetched behind this
    one's, over connections that this one leaves free, and kept for it: as much as half of the room
    holds.

    Three kinds of threads meet here: the batch's own, in `arrivals`; those that fetch, in `_run`;
    those that decode, in `decoded`. All that they share is changed under the lock. The slots and
    the room have locks of their own, which are only ever taken inside of this one, never around it.
    """

    def __init__(
        self, slots: ConnectionSlots, room: ByteRoom, usual_bytes: float = USUAL_BYTES
    ) -> None:
        """usual_bytes: what a picture has, until some have come."""
        self._slots, self._room = slots, room
        self._threads = ThreadPoolExecutor(slots.total_max, thread_name_prefix="fetch")
        self._lock = threading.Lock()
        self._on_their_way = 0
        self._undecoded: dict[Future[Fetched], Holding] = {}
        self._waiting: dict[str, deque[_Wanted]] = {}
        self._next: list[_Wanted] = []  # foreseen, not begun before this batch's are
        self._early: dict[str, list[_Wanted]] = {}  # by URI: fetched, or to be, for a later batch
        self._early_waiting: dict[str, deque[_Wanted]] = {}
        self._usual_bytes = usual_bytes

    def foresee(self, fetch: FetchOver, uris: Sequence[str]) -> None:
        """Fetch these for the batch after the one whose `arrivals` are asked for next."""
        self._next = [_Wanted(uri=uri, fetch=fetch, early=True) for uri in uris[:FORESEEN_MAX]]

    def arrivals(
        self, fetch: FetchOver, uris: Mapping[int, str], patience_s: Mapping[int, float]
    ) -> Iterator[tuple[int, "Future[Fetched]"]]:
        """Fetch all URIs, and yield each by its key when it has come, failed or not.

        The caller says `decoded` once for each. A picture is left behind, with a FetchFailure, when
        nothing at all has come for its patience and nothing is left to decode: as long as others
        arrive, its turn may only not have been reached. It is left at once, if all that the batch
        still waits for are hosts that have been silent for as long already, whatever batch asked
        them, or that take longer: a host that is dead or slow holds the first of them only.
        """
        arrived: SimpleQueue[_Wanted] = SimpleQueue()
        with self._lock:
            wanted = {key: self._want(key, uri, fetch, arrived) for key, uri in uris.items()}
            self._forget_early()
            self._begin_early()
            self._start_what_fits()
        return self._arrivals(arrived, wanted, patience_s)

    def _arrivals(
        self,
        arrived: "SimpleQueue[_Wanted]",
        wanted: dict[int, "_Wanted"],
        patience_s: Mapping[int, float],
    ) -> Iterator[tuple[int, "Future[Fetched]"]]:
        futility = _Futility(self._slots, wanted, patience_s)
        idle_since = time.monotonic()
        while wanted:
            if futility.is_all_there_is():
                for key, left in list(wanted.items()):
                    yield key, self._leave(wanted.pop(key), self._slots.silent_s(left.host))
                return
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
                # It was put into the queue between the Empty above and its `_leave`: nobody will
                # decode it.
                self.decoded(come.future)
            else:
                yield come.key, come.future

    def decoded(self, future: "Future[Fetched]") -> None:
        """A picture's bytes are not needed any more: the next one may be fetched."""
        with self._lock:
            self._room.settle(self._undecoded.pop(future), 0)
            self._start_what_fits()

    def _want(
        self, key: int, uri: str, fetch: FetchOver, arrived: "SimpleQueue[_Wanted]"
    ) -> "_Wanted":
        """What was foreseen, wherever it has got to, or a new one; the lock is held."""
        found = self._early.get(uri)
        wanted = found.pop() if found else _Wanted(uri=uri, fetch=fetch, early=False)
        wanted.key, wanted.arrived = key, arrived
        self._room.claim(wanted.holding)
        if wanted.state is _State.FETCHED:
            self._hand_over(wanted, arrived)
        elif wanted.state is _State.WAITING:
            wanted.fetch = fetch  # within the batch's time from now on
            if found is not None:
                _take_out(self._early_waiting, wanted)
            self._waiting.setdefault(wanted.host, deque()).append(wanted)
        return wanted

    def _forget_early(self) -> None:
        """Drop what was foreseen and not asked for: another child has that batch."""
        for wanted in (each for some in self._early.values() for each in some):
            wanted.left = True
            if wanted.state is _State.FETCHED:
                self._room.settle(wanted.holding, 0)
        self._early.clear()
        self._early_waiting.clear()

    def _begin_early(self) -> None:
        for wanted in self._next:
            self._early.setdefault(wanted.uri, []).append(wanted)
            self._early_waiting.setdefault(wanted.host, deque()).append(wanted)
        self._next = []

    def _start_what_fits(self) -> None:
        """Start what its host, and memory, have room for; the lock is held."""
        self._start(
            self._waiting,
            lambda: self._on_their_way + len(self._undecoded) < self._slots.total_max,
        )
        self._start(self._early_waiting, self._has_room_early)

    def _start(self, waiting_at: dict[str, deque["_Wanted"]], has_room: Callable[[], bool]) -> None:
        for host in list(waiting_at):
            waiting = waiting_at[host]
            while waiting and has_room():
                slot = self._slots.take(host)
                if slot is None:
                    break
                self._on_their_way += 1
                wanted = waiting.popleft()
                wanted.state, wanted.asked_at = _State.ON_ITS_WAY, time.monotonic()
                self._threads.submit(self._run, wanted, slot)
            # Hosts come and go; a long-lived process must not remember them all.
            if not waiting:
                del waiting_at[host]

    def _has_room_early(self) -> bool:
        # What is on its way may not have taken its room yet.
        expected = (self._on_their_way + 1) * self._usual_bytes
        return self._on_their_way < self._slots.total_max and self._room.has_room_early(
            int(expected)
        )

    def _run(self, wanted: "_Wanted", slot: Slot) -> None:
        slot.expect = partial(self._room.take, wanted.holding)
        size = 0
        try:
            fetched = wanted.fetch(wanted.uri, slot)
            size = len(fetched.data)
            wanted.future.set_result(fetched)
        except BaseException as error:
            wanted.future.set_exception(error)
        slot.free()
        with self._lock:
            self._on_their_way -= 1
            self._usual_bytes += (size - self._usual_bytes) / 32 if size else 0
            wanted.state = _State.FETCHED
            # Left behind before this point, nobody reads its arrival, and its bytes go at once.
            # After it, its batch finds it in the queue: `left` cannot change in between, as
            # `_leave` takes the same lock.
            self._room.settle(wanted.holding, 0 if wanted.left else size)
            if wanted.arrived is not None and not wanted.left:
                self._hand_over(wanted, wanted.arrived)
            self._start_what_fits()

    def _hand_over(self, wanted: "_Wanted", arrived: "SimpleQueue[_Wanted]") -> None:
        self._undecoded[wanted.future] = wanted.holding
        arrived.put(wanted)

    def _leave(self, wanted: "_Wanted", waited_s: float) -> "Future[Fetched]":
        with self._lock:
            wanted.left = True
            _take_out(self._waiting, wanted)
            late: Future[Fetched] = Future()
            # Until the caller says `decoded`, as for all others.
            self._undecoded[late] = Holding(early=False)
        late.set_exception(
            FetchFailure(
                FailureCode.FETCH_TIMEOUT,
                f"Expected the image from {wanted.host[:200]} like the others of its batch, found "
                f"it still on its way when nothing had come for {waited_s:.1f} s. It goes on to a "
                "later batch, which waits longer.",
            )
        )
        return late


class _State(Enum):
    """How far a picture has come."""

    WAITING = "for a connection"
    ON_ITS_WAY = "over a connection"
    FETCHED = "or failed"


class _Wanted:
    """One picture to fetch, and where to say that it came: nowhere yet, while it is early."""

    def __init__(self, *, uri: str, fetch: FetchOver, early: bool) -> None:
        self.uri, self.fetch = uri, fetch
        self.host = _host(uri)
        self.holding = Holding(early=early)
        self.key = -1
        self.arrived: SimpleQueue[_Wanted] | None = None
        self.state = _State.WAITING
        self.asked_at: float | None = None  # by the monotonic clock
        self.left = False
        self.future: Future[Fetched] = Future()


class _Futility:
    """Whether a batch waits for nothing but hosts that will not answer in its time."""

    def __init__(
        self,
        slots: ConnectionSlots,
        wanted: Mapping[int, _Wanted],
        patience_s: Mapping[int, float],
    ) -> None:
        self._slots, self._wanted, self._patience_s = slots, wanted, patience_s
        self._looks_again_at = time.monotonic()
        # By host: how long it has been silent, and how long it usually takes.
        self._known: dict[str, tuple[float, float]] = {}

    def is_all_there_is(self) -> bool:
        now = time.monotonic()
        if now >= self._looks_again_at:
            hosts = {each.host for each in self._wanted.values()}
            self._known = {
                host: (self._slots.silent_s(host), self._slots.takes_s(host)) for host in hosts
            }
            self._looks_again_at = now + STEP_S / 2
        return all(
            self._is_futile(each, self._patience_s[key], now) for key, each in self._wanted.items()
        )

    def _is_futile(self, wanted: _Wanted, patience_s: float, now: float) -> bool:
        silent_s, takes_s = self._known.get(wanted.host, (0.0, 0.0))
        if silent_s < patience_s and takes_s < patience_s:
            return False
        # One that still waits does so behind others, which the host has not answered.
        if wanted.asked_at is None:
            return True
        if takes_s >= patience_s:
            return wanted.asked_at + takes_s - now >= patience_s
        return now - wanted.asked_at >= GRACE_S


def _take_out(waiting_at: dict[str, deque[_Wanted]], wanted: _Wanted) -> None:
    waiting = waiting_at.get(wanted.host, deque())
    if wanted in waiting:
        waiting.remove(wanted)


def _host(uri: str) -> str:
    try:
        return urlsplit(with_ascii_host(uri)).hostname or ""
    except ValueError:
        return ""  # the fetcher says what is wrong with it
