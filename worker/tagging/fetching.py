"""Fetching the pictures of one batch, within the time that a batch may take for it."""

import time

from catalog.failures import FailureCode, FetchFailure
from catalog.fetching.fetcher import Fetcher
from catalog.fetching.slots import Slot
from catalog.fetching.validators import Fetched


class BatchFetching:
    """One batch's way to the process's fetcher.

    Slow hosts use up a batch's time, not its process's life: what is not reached within it is
    tried later. Each batch has one of its own: what an earlier batch left behind in a thread goes
    on under its own deadline.
    """

    def __init__(self, fetcher: Fetcher, budget_s: float) -> None:
        self._fetcher, self._budget_s = fetcher, budget_s
        self._deadline = time.monotonic() + budget_s

    def fetch(self, uri: str, slot: Slot | None = None) -> Fetched:
        """One picture's bytes, and what will tell later that it is still the same.

        Raises:
            FetchFailure: it could not be fetched, or the batch's time was over before its turn.
        """
        if time.monotonic() > self._deadline:
            raise FetchFailure(
                FailureCode.FETCH_TIMEOUT,
                f"The pictures of its batch took {self._budget_s:.0f} s together; this "
                "one was not reached and is tried again.",
            )
        return self._fetcher.fetch_validated(uri, slot)

    def validator(self, uri: str) -> str | None:
        """What tells that a picture is still the same, or None.

        Hosts that are slow to answer leave at least half of the time for fetching.

        Raises:
            FetchFailure: as Fetcher.validator does.
        """
        if time.monotonic() > self._deadline - self._budget_s / 2:
            return None
        return self._fetcher.validator(uri)
