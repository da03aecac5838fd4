"""Threads for photos alone: whoever waits for an image host keeps nobody else waiting."""

from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread

from review.problems import ProblemError

THREADS = 16  # each may hold one fetched photo
ASKED_MAX = 256
RETRY_AFTER_S = 5

Given = ParamSpec("Given")
Made = TypeVar("Made")


class PicturePool:
    """Runs what may take as long as an image host likes.

    Everything else runs in the server's own threads, which are never given to this. What is asked
    for beyond `asked_max` is refused at once instead of waiting for ever longer.
    """

    def __init__(self, threads: int = THREADS, asked_max: int = ASKED_MAX) -> None:
        self._threads = CapacityLimiter(threads)
        self._asked_max = asked_max
        self._asked = 0  # changed by the event loop's thread only

    async def run(
        self, work: Callable[Given, Made], *args: Given.args, **kwargs: Given.kwargs
    ) -> Made:
        """What `work` returns, made in a thread of the pool.

        Raises:
            ProblemError: 503, too many are waiting already.
        """
        if self._asked >= self._asked_max:
            detail = "Too many photos are on their way from slow hosts. Ask again in a moment."
            raise ProblemError(503, detail, {"Retry-After": str(RETRY_AFTER_S)})
        self._asked += 1
        try:
            return await to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._threads)
        finally:
            self._asked -= 1
