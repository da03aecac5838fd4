"""One point in time by which a fetch has ended, whatever the other side does."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from catalog.failures import FailureCode, FetchFailure

Result = TypeVar("Result")


class Deadline:
    """A time budget that runs from its making."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._ends_at = time.monotonic() + timeout_s

    def remaining_s(self, at_most: float | None = None) -> float:
        """Seconds left, no more than `at_most`.

        Raises:
            FetchFailure: fetch_timeout, where none are left.
        """
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise self.passed()
        return left if at_most is None else min(left, at_most)

    def passed(self) -> FetchFailure:
        """The failure to raise when time is up."""
        return FetchFailure(
            FailureCode.FETCH_TIMEOUT,
            f"Expected the whole image within {self._timeout_s:g} s, found it still on its way. "
            "It is tried again; look at the image host if this stays.",
        )


# Sockets outlive the request they were opened for, and httpcore hands a stream only the time of
# one read: so a stream looks here for the fetch that its thread is busy with.
_current: ContextVar[Deadline] = ContextVar("deadline")


@contextmanager
def fetching_until(deadline: Deadline) -> Iterator[None]:
    """Make `deadline` the one in force for this thread's I/O."""
    token = _current.set(deadline)
    try:
        yield
    finally:
        _current.reset(token)


def current_deadline() -> Deadline:
    """The deadline of the fetch that this thread is busy with."""
    return _current.get()


def call_within(deadline: Deadline, timeout_s: float | None, call: Callable[[], Result]) -> Result:
    """Call something that knows no timeout of its own, and stop waiting for it in time.

    The call goes on in its daemon thread when it is late; nobody sees its result. A new thread
    (about 0.1 ms) each time, as a pool would fill up with calls that hang.
    """
    results: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="fetch-call", daemon=True)
    thread.start()
    thread.join(deadline.remaining_s(timeout_s))
    if errors:
        raise errors[0]
    if not results:
        raise deadline.passed()
    return results[0]
