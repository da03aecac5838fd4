"""From jobs to what the network is to see of them: fetch, decode, reduce."""

import hashlib
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from catalog.failures import FailureCode, ImageFailure
from catalog.fetching.slots import Slot
from catalog.fetching.validators import Fetched
from catalog.images.decode import DecodeLimits, decode
from catalog.images.model_input import ModelInput, model_input
from catalog.images.overlay import crop
from catalog.images.preprocessing import DECODE_PX
from catalog.jobs import Job
from catalog.outcomes import Failure
from worker.tagging.fetch_ahead import FetchAhead, is_remote
from worker.tagging.stages import StageClock

# Fetches a picture by its URI, over a connection taken ahead or one of its own.
Fetch = Callable[[str, Slot | None], Fetched]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One photo, ready for the network: view is the square it saw, uint8 (size, size, 3) RGB.

    validator: what tells later that the picture is still the same, if anything does.
    """

    image_sha256: str
    validator: str | None
    view: NDArray[np.uint8]
    reduced: ModelInput


class Looker:
    """Looks at the pictures of batches; one for each process."""

    def __init__(
        self,
        *,
        ahead: FetchAhead,
        threads: ThreadPoolExecutor,
        limits: DecodeLimits,
        thumbnail_size_px: int,
        clock: StageClock,
    ) -> None:
        self._ahead = ahead
        self._threads = threads
        self._limits = limits
        self._thumbnail_size_px = thumbnail_size_px
        self._clock = clock

    def look_at_all(
        self, jobs: Sequence[Job], fetch: Fetch, patience_s: Sequence[float] = ()
    ) -> list[Seen | Failure]:
        """What is seen of each job's picture, in order.

        Remote pictures are fetched all at once, and decoded in the order they come. patience_s: how
        long to wait for each of them when nothing else comes.
        """
        remote = {
            place: job.image_uri for place, job in enumerate(jobs) if is_remote(job.image_uri)
        }
        looks = {
            place: self._threads.submit(self._look, partial(fetch, job.image_uri, None))
            for place, job in enumerate(jobs)
            if place not in remote
        }
        patience = dict(enumerate(patience_s or [math.inf] * len(jobs)))
        arrivals = self._ahead.arrivals(partial(self._timed, fetch), remote, patience)
        for place, fetched in arrivals:
            looks[place] = self._threads.submit(self._look, fetched.result)
            looks[place].add_done_callback(lambda _: self._ahead.decoded())
        return [looks[place].result() for place in range(len(jobs))]

    def _timed(self, fetch: Fetch, uri: str, slot: Slot) -> Fetched:
        with self._clock.time("fetch"):
            return fetch(uri, slot)

    def _look(self, fetched: Callable[[], Fetched]) -> Seen | Failure:
        """Decode and reduce one photo; one that cannot be is a failure of its own."""
        try:
            with self._clock.time("read"):
                picture = fetched()
            with self._clock.time("decode"):
                photo = decode(picture.data, size_px_min=DECODE_PX, limits=self._limits)
            with self._clock.time("model input"):
                reduced = model_input(photo.pixels)
            with self._clock.time("overlay"):
                view = crop(photo.pixels, reduced.square, self._thumbnail_size_px)
        except ImageFailure as failure:
            return Failure(
                code=failure.code, detail=failure.detail, retry_after_s=failure.retry_after_s
            )
        except Exception as error:
            return Failure(
                code=FailureCode.INTERNAL_ERROR, detail=f"{type(error).__name__}: {error}"
            )
        return Seen(
            image_sha256=hashlib.sha256(picture.data).hexdigest(),
            validator=picture.validator,
            view=view,
            reduced=reduced,
        )
