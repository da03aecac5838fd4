"""Memory of large pictures: shared out to threads, and given back to the system."""

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_M_MMAP_THRESHOLD = -3
# A picture of a quarter of a megapixel. Smaller blocks stay with the process, as mapping each anew
# would cost more than it gives back.
_LARGE_BYTES = 1 << 20


class Room:
    """So many bytes of memory, which threads share: who finds no room waits its turn.

    What alone is larger than the room is let in alone; refusing it is the caller's business.
    """

    def __init__(self) -> None:
        self._taken = 0
        self._changed = threading.Condition()
        # Held by the one that waits, so that small ones cannot pass a large one for ever.
        self._turn = threading.Lock()

    @contextmanager
    def take(self, wanted: int, *, of: int) -> Iterator[None]:
        """Hold `wanted` bytes of `of` during the block."""
        with self._turn, self._changed:
            self._changed.wait_for(lambda: not self._taken or self._taken + wanted <= of)
            self._taken += wanted
        try:
            yield
        finally:
            with self._changed:
                self._taken -= wanted
                self._changed.notify_all()


def give_large_blocks_back() -> bool:
    """Have glibc return every block above 1 MB as soon as it is freed; False on other systems.

    By default glibc raises that size up to 32 MB as soon as one such block was freed, and then
    keeps what was freed for the thread that used it: six threads that decode one picture of 16
    million pixels each, one after the other, hold 660 MB at the peak instead of 125.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES))
