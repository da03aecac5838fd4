"""Memory for pictures that were fetched and wait to be decoded: so many bytes for a process.

A fetch takes room for all that it may bring before it reads any of it: by the length that the host
announces, or by the largest that is allowed. So nothing is ever held while more is waited for, and
what is being read always ends. What is fetched for a later batch gets half of the room at most:
the batch at work never waits for one that comes after it.
"""

import threading
from dataclasses import dataclass

from catalog.fetching.deadline import Deadline


@dataclass(kw_only=True, eq=False)
class Holding:
    """What one fetch holds, in bytes; early: it is for a batch that has not begun."""

    early: bool
    size: int = 0


class ByteRoom:
    """So many bytes, shared by all fetches of a process."""

    def __init__(self, bytes_max: int, picture_bytes_max: int) -> None:
        """bytes_max: at least two of the largest pictures are let in, whatever it says."""
        self._bytes_max = max(bytes_max, 2 * picture_bytes_max)
        self._taken = 0
        self._taken_early = 0
        self._changed = threading.Condition()

    @property
    def taken(self) -> int:
        """Bytes that are taken now."""
        return self._taken

    def take(self, holding: Holding, size: int, deadline: Deadline) -> None:
        """Let `holding` be of `size` bytes, at most those of the largest picture.

        Raises:
            FetchFailure: fetch_timeout, where there was no room in time.
        """
        with self._changed:
            while not self._fits(holding, size):
                self._changed.wait(deadline.remaining_s())
            self._resize(holding, size)

    def settle(self, holding: Holding, size: int) -> None:
        """Let it be of just so many bytes, which are there already; 0 gives it back."""
        with self._changed:
            self._resize(holding, size)
            self._changed.notify_all()

    def claim(self, holding: Holding) -> None:
        """Its batch has begun."""
        with self._changed:
            if holding.early:
                self._taken_early -= holding.size
                holding.early = False
                self._changed.notify_all()

    def has_room_early(self, size: int) -> bool:
        """Whether so many bytes for a later batch would find room now."""
        return self._fits(Holding(early=True), size)

    def _fits(self, holding: Holding, size: int) -> bool:
        more = size - holding.size
        if holding.early and self._taken_early + more > self._bytes_max // 2:
            return False
        return self._taken + more <= self._bytes_max

    def _resize(self, holding: Holding, size: int) -> None:
        self._taken += size - holding.size
        if holding.early:
            self._taken_early += size - holding.size
        holding.size = size
