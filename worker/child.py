"""What each worker process makes for itself, after the fork, at its first batch."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import cv2

from catalog.bundle import load_bundle
from catalog.failures import FailureCode
from catalog.images.decode import DecodeLimits
from catalog.images.memory import give_large_blocks_back
from catalog.jobs import Job, MalformedJobError, canonical_json, parse_job, payload_subject
from catalog.outcomes import Failure, Outcome
from catalog.settings import Settings, settings
from db.engine import make_engine
from worker.classifier import Classifier
from worker.fetching.fetcher import Fetcher, FetchLimits
from worker.stages import StageClock
from worker.storing import Store
from worker.tagging import Tagger, TaggingRules


class Child:
    """A tagger and a store, used by both tasks."""

    def __init__(self, chosen: Settings) -> None:
        bundle = load_bundle(chosen.bundle)
        classifier = Classifier(bundle, threads=chosen.model_threads)
        self.clock = StageClock()
        self._tagger = make_tagger(chosen, classifier, self.clock)
        self._store = Store(make_engine(chosen.database), bundle.manifest)

    def tag_and_store(self, payloads: Sequence[object]) -> None:
        """Tag what the payloads ask for and commit every outcome, malformed ones included.

        Raises:
            StoreUnavailableError: nothing was stored.
        """
        parsed = [_parse(payload) for payload in payloads]
        outcomes = self._tagger.tag_batch([each for each in parsed if isinstance(each, Job)])
        malformed = [each for each in parsed if isinstance(each, Outcome)]
        if outcomes or malformed:
            with self.clock.time("store"):
                self._store.store([*outcomes, *malformed])


def make_tagger(chosen: Settings, classifier: Classifier, clock: StageClock) -> Tagger:
    """A tagger with its own fetcher and decoding threads."""
    # The pool below is the only parallelism: OpenCV's own threads would fight with it.
    cv2.setNumThreads(1)
    give_large_blocks_back()
    limits = FetchLimits(
        bytes_max=chosen.image_bytes_max,
        total_timeout_s=chosen.fetch_timeout_s,
        connect_timeout_s=chosen.connect_timeout_s,
        redirects_max=chosen.redirects_max,
        connections_per_host_max=chosen.connections_per_host_max,
        connections_max=chosen.connections_max,
        allowed_networks=chosen.allowed_networks,
        object_stores=chosen.object_stores,
    )
    rules = TaggingRules(
        thumbnail_size_px=chosen.thumbnail_size_px,
        audit_share=chosen.audit_share,
        decode_limits=DecodeLimits(
            bytes_max=chosen.image_bytes_max, pixels_max=chosen.image_pixels_max
        ),
    )
    pool = ThreadPoolExecutor(chosen.decode_threads, thread_name_prefix="decode")
    return Tagger(classifier, Fetcher(limits, chosen.allowed_roots).fetch, pool, rules, clock)


@lru_cache(maxsize=1)
def child() -> Child:
    """This process's own; the parent of a prefork worker never calls it."""
    return Child(settings())


def _parse(payload: object) -> Job | Outcome:
    try:
        return parse_job(payload)
    except MalformedJobError as error:
        return Outcome(
            subject=payload_subject(payload),
            job=None,
            result=Failure(code=FailureCode.MALFORMED_PAYLOAD, detail=str(error)),
            payload=canonical_json(payload),
        )
