"""From jobs to what the network is to see of them: fetch, decode, reduce."""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from catalog.failures import FailureCode, ImageFailure
from catalog.fetching.slots import Slot
from catalog.fetching.validators import Fetched
from catalog.images.decode import DecodeLimits, decode
from catalog.images.model_input import glance
from catalog.images.network_input import InputKind, NetworkInput, network_input
from catalog.images.overlay import crop
from catalog.images.preprocessing import DECODE_PX
from catalog.jobs import Job
from catalog.networks import PictureKind
from catalog.outcomes import Failure
from worker.tagging.fetch_ahead import FetchAhead, is_remote
from worker.tagging.stages import StageClock

# Fetches a picture by its URI, over a connection taken ahead or one of its own.
Fetch = Callable[[str, Slot | None], Fetched]


# What kind a job's picture is → the kinds of input wanted of it; who is shown it first.
Wanted = Callable[[Job, PictureKind], Sequence[InputKind]]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One picture, ready for the networks that are to judge it.

    validator: what tells later that the picture is still the same, if anything does. kind: of the
    picture. view: the square that the first of them sees, uint8 (size, size, 3) RGB.
    """

    image_sha256: str
    validator: str | None
    kind: PictureKind
    inputs: Mapping[InputKind, NetworkInput]
    view: NDArray[np.uint8]


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
        self, jobs: Sequence[Job], wanted: Wanted, fetch: Fetch, patience_s: Sequence[float] = ()
    ) -> list[Seen | Failure]:
        """What is seen of each job's picture, in order.

        Remote pictures are fetched all at once, and decoded in the order they come. patience_s: how
        long to wait for each of them when nothing else comes.
        """
        remote = {
            place: job.image_uri for place, job in enumerate(jobs) if is_remote(job.image_uri)
        }
        looks = {}
        for place, job in enumerate(jobs):
            if place not in remote:
                fetched = partial(fetch, job.image_uri, None)
                looks[place] = self._threads.submit(self._look, job, wanted, fetched)
        patience = dict(enumerate(patience_s or [math.inf] * len(jobs)))
        arrivals = self._ahead.arrivals(partial(self._timed, fetch), remote, patience)
        for place, arrived in arrivals:
            looks[place] = self._threads.submit(self._look, jobs[place], wanted, arrived.result)
            looks[place].add_done_callback(partial(self._decoded, arrived))
        return [looks[place].result() for place in range(len(jobs))]

    def _decoded(self, arrived: Future[Fetched], _: object) -> None:
        self._ahead.decoded(arrived)

    def _timed(self, fetch: Fetch, uri: str, slot: Slot) -> Fetched:
        with self._clock.time("fetch"):
            return fetch(uri, slot)

    def _look(self, job: Job, wanted: Wanted, fetched: Callable[[], Fetched]) -> Seen | Failure:
        """Decode and reduce one picture; one that cannot be is a failure of its own."""
        try:
            with self._clock.time("read"):
                picture = fetched()
            with self._clock.time("decode"):
                pixels = decode(picture.data, size_px_min=DECODE_PX, limits=self._limits).pixels
            with self._clock.time("model input"):
                seen = glance(pixels)
                kinds = list(wanted(job, seen.kind))
                inputs = {kind: network_input(pixels, kind, seen) for kind in dict.fromkeys(kinds)}
            with self._clock.time("overlay"):
                view = crop(pixels, inputs[kinds[0]].square, self._thumbnail_size_px)
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
            kind=seen.kind,
            inputs=inputs,
            view=view,
        )
