"""What each worker process makes for itself, after the fork, at its first batch."""

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import lru_cache

import cv2
from sqlalchemy import Engine

from catalog.failures import FailureCode, FetchFailure
from catalog.fetching.fetcher import Fetcher, FetchLimits
from catalog.images.decode import DecodeLimits
from catalog.images.memory import give_large_blocks_back
from catalog.jobs import (
    BULK_QUEUE,
    INGEST_QUEUE,
    Job,
    MalformedJobError,
    canonical_json,
    parse_job,
    payload_subject,
)
from catalog.outcomes import Failure, Outcome
from catalog.settings import Settings, settings
from db.engine import PATIENCE_S, make_engine
from db.ledger.attempts import Attempt, Delivery
from worker.local.processes import give_way
from worker.retag.skipping import unchanged
from worker.tagging.classifier import Classifier
from worker.tagging.fetch_ahead import FetchAhead
from worker.tagging.lineup import Lineup
from worker.tagging.model_keeper import ModelKeeper
from worker.tagging.retries import FetchPatience, RetryPolicy
from worker.tagging.stages import StageClock
from worker.tagging.store import Store
from worker.tagging.tagger import Tagger, TaggingRules
from worker.watch.logs import log_outcomes
from worker.watch.metrics import WorkerMetrics

HEARTBEAT_S = 5.0
# SQLite has one writer: a new product must not wait while a whole chunk is written, by a process
# of low priority at that.
BULK_TOGETHER = 16


class BatchRunner:
    """A tagger and a store, used by both tasks."""

    def __init__(self, chosen: Settings, queue: str = INGEST_QUEUE) -> None:
        self._heartbeat = f"{queue}@{socket.gethostname()}"[:128]
        engine = make_engine(chosen.database, patience_s=patience_s(chosen))
        self._models = ModelKeeper(chosen, engine, self._heartbeat)
        self.clock = StageClock()
        self._metrics = WorkerMetrics(chosen, queue)
        self._fetch_budget_s = fetch_budget_s(chosen)
        self._fetch_deadline = float("inf")
        self._validators: dict[str, str] = {}  # of what this batch fetched, by URI
        self._fetcher = make_fetcher(chosen)
        self._threads = ThreadPoolExecutor(
            chosen.decode_threads,
            thread_name_prefix="decode",
            initializer=give_way if queue == BULK_QUEUE else None,
        )
        self._tagger = make_tagger(
            chosen,
            self._models.lineup.serving,
            self.clock,
            self._while_there_is_time,
            self._threads,
        )
        self._tagger.ahead = FetchAhead(
            self._fetch_timed,
            connections_max=chosen.connections_max,
            per_host_max=chosen.connections_per_host_max,
        )
        self._patience = FetchPatience.of(chosen)
        self._store = Store(
            engine,
            RetryPolicy.of(chosen),
            attempt_s_max=chosen.attempt_s_max,
            flag_changes_from=chosen.retag_flag_confidence,
            together_max=BULK_TOGETHER if _shares_a_writer(engine, queue) else None,
        )
        self._use(self._models.lineup)
        self._queue = queue
        self._next_heartbeat = 0.0

    def tag_and_store(
        self,
        payloads: Sequence[object],
        message_ids: Sequence[str] | None = None,
        *,
        alone: bool = False,
    ) -> list[int]:
        """Tag what the payloads ask for and commit every outcome, malformed ones included.

        message_ids: the id of each payload's message. Returns the positions of suspects, which
        are untouched: each is to be given again, alone.

        Raises:
            StoreUnavailableError: nothing was stored.
        """
        self._fetch_deadline = time.monotonic() + self._fetch_budget_s
        parsed = [_parse(payload) for payload in payloads]
        places = [place for place, each in enumerate(parsed) if isinstance(each, Job)]
        jobs = [each for each in parsed if isinstance(each, Job)]
        ids = message_ids or [f"direct-{time.time_ns()}"] * len(payloads)
        deliveries = [
            Delivery(job=job, message_id=ids[place])
            for job, place in zip(jobs, places, strict=True)
        ]
        before, before_cpu = dict(self.clock.seconds), dict(self.clock.cpu_seconds)
        with self.clock.time("begin"):
            begun = self._store.begin(
                deliveries,
                alone=alone,
                queue=self._queue,
                heartbeat=self._due_heartbeat(),
                model=self._tagger.lineup.serving.manifest.model_version,
            )
        # Between two batches: nothing of this one has been seen by a model yet.
        self._use(self._models.look(self._store.generation))
        self._tagger.earned = self._store.earned
        todo = [jobs[index] for index in begun.now]
        skipped = self._skipped(todo, begun.attempts)
        # A new one: what an earlier batch left behind may still write into the old one.
        self._validators = {}
        left = [job for job in todo if job.product_id not in skipped]
        outcomes = self._tagger.tag_batch(
            left, [self._patience.seconds(begun.attempts[job.product_id].number) for job in left]
        )
        outcomes += [each for each in parsed if isinstance(each, Outcome)]
        retries: dict[str, datetime] = {}
        if outcomes:
            with self.clock.time("store"):
                retries = self._store.store(outcomes, begun.attempts, self._validators)
        told = [*begun.quarantined, *outcomes]
        if told:
            self._metrics.batch(
                told,
                tuple(retries),
                _spent(before, self.clock.seconds),
                _spent(before_cpu, self.clock.cpu_seconds),
            )
            log_outcomes(told, begun.attempts, retries)
        return [places[index] for index in begun.alone]

    def record_crash(self, payloads: Sequence[object], dead: str, code: FailureCode) -> None:
        """Record that the child `dead` died over these payloads.

        Raises:
            StoreUnavailableError: nothing was recorded.
        """
        jobs = [_parse(payload) for payload in payloads]
        self._store.record_crash(
            [job.product_id for job in jobs if isinstance(job, Job)], dead, code
        )
        self._metrics.crash(code.value)

    def _skipped(self, jobs: Sequence[Job], attempts: Mapping[str, Attempt]) -> set[str]:
        """Settle what a re-tagging run need not fetch; a model on trial wants to see everything."""
        lineup = self._tagger.lineup
        if lineup.canary is not None or lineup.shadow is not None:
            return set()
        known = self._store.known_pictures(attempts)
        if not known:
            return set()
        version = lineup.serving.manifest.model_version
        with self.clock.time("validate"):
            skipped = unchanged(jobs, known, version, self._validator, self._threads)
        self._store.store_unchanged(skipped, attempts)
        return skipped

    def _validator(self, uri: str) -> str | None:
        """Hosts that are slow to answer leave at least half of the time for fetching."""
        if time.monotonic() > self._fetch_deadline - self._fetch_budget_s / 2:
            return None
        return self._fetcher.validator(uri)

    def _use(self, lineup: Lineup) -> None:
        self._tagger.lineup = lineup
        self._store.register_manifests(lineup.manifests)

    def _due_heartbeat(self) -> str | None:
        now = time.monotonic()
        # At every chunk: a run that is started just after a promotion is for the new model.
        if now < self._next_heartbeat and self._queue != BULK_QUEUE:
            return None
        self._next_heartbeat = now + HEARTBEAT_S
        return self._heartbeat

    def _fetch_timed(self, uri: str) -> bytes:
        with self.clock.time("fetch"):
            return self._while_there_is_time(uri)

    def _while_there_is_time(self, uri: str) -> bytes:
        """Slow hosts use up a batch's time, not its process's life: the rest is tried later."""
        if time.monotonic() > self._fetch_deadline:
            raise FetchFailure(
                FailureCode.FETCH_TIMEOUT,
                f"The pictures of its batch took {self._fetch_budget_s:.0f} s together; this "
                "one was not reached and is tried again.",
            )
        validators = self._validators
        fetched = self._fetcher.fetch_validated(uri)
        if fetched.validator is not None:
            validators[uri] = fetched.validator
        return fetched.data


def _shares_a_writer(engine: Engine, queue: str) -> bool:
    return queue == BULK_QUEUE and engine.dialect.name == "sqlite"


def _spent(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    return {stage: seconds - before.get(stage, 0.0) for stage, seconds in after.items()}


def patience_s(chosen: Settings) -> float:
    """How long one statement waits: begin, store and take back must fit in a batch's time."""
    return min(PATIENCE_S, chosen.batch_time_limit_s / 4)


def fetch_budget_s(chosen: Settings) -> float:
    """How long a batch may go on starting fetches: the last one, and the commits, must still fit.

    A quarter of the time limit at least, so that a limit that is too low for the fetch timeout
    still lets some pictures through; start-up refuses such a limit.
    """
    limit_s = chosen.batch_time_limit_s
    return max(limit_s / 4, limit_s / 2 - chosen.fetch_timeout_s)


def make_fetcher(chosen: Settings) -> Fetcher:
    """A fetcher for one process; it opens and connects nothing yet."""
    return Fetcher(FetchLimits.of(chosen), chosen.allowed_roots)


def make_tagger(
    chosen: Settings,
    classifier: Classifier,
    clock: StageClock,
    fetch: Callable[[str], bytes] | None = None,
    threads: ThreadPoolExecutor | None = None,
) -> Tagger:
    """A tagger; with its own fetcher and decoding threads, where none are given."""
    # The threads are the only parallelism: OpenCV's own would fight with them.
    cv2.setNumThreads(1)
    give_large_blocks_back()
    rules = TaggingRules(
        thumbnail_size_px=chosen.thumbnail_size_px,
        audit_share=chosen.audit_share,
        cautious_audit_share=chosen.cautious_audit_share,
        decode_limits=DecodeLimits(
            bytes_max=chosen.image_bytes_max, pixels_max=chosen.image_pixels_max
        ),
    )
    threads = threads or ThreadPoolExecutor(chosen.decode_threads, thread_name_prefix="decode")
    return Tagger(classifier, fetch or make_fetcher(chosen).fetch, threads, rules, clock)


@lru_cache(maxsize=1)
def batch_runner(queue: str) -> BatchRunner:
    """This process's own; the parent of a prefork worker never calls it."""
    return BatchRunner(settings(), queue)


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
