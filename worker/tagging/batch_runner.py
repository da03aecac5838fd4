"""One batch from payloads to committed outcomes: what both tasks call."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from sqlalchemy.orm import Session

from catalog.acceptance import AuditShares
from catalog.failures import FailureCode
from catalog.fetching.fetcher import Fetcher
from catalog.jobs import Job, MalformedJobError, canonical_json, parse_job, payload_subject
from catalog.outcomes import Failure, Outcome
from db.ledger.attempts import Attempt, Delivery
from worker.door.refusals import Refusal
from worker.retag.skipping import unchanged
from worker.tagging.fetch_ahead import FetchAhead, Foreseen
from worker.tagging.fetching import BatchFetching
from worker.tagging.lineup import Lineup
from worker.tagging.model_keeper import ModelKeeper
from worker.tagging.pulse import Pulse
from worker.tagging.retries import FetchPatience
from worker.tagging.stages import StageClock
from worker.tagging.store import Store
from worker.tagging.tagger import Tagger
from worker.watch.logs import log_outcomes


class BatchMetrics(Protocol):
    """Who counts batches: see worker/watch/metrics.py."""

    def batch(
        self,
        outcomes: Sequence[Outcome],
        retried: Sequence[str],
        stages: Mapping[str, float],
        stages_cpu: Mapping[str, float],
    ) -> None: ...

    def crash(self, reason: str) -> None: ...


class BatchRunner:
    """A process's parts at work together; one batch at a time."""

    def __init__(
        self,
        *,
        queue: str,
        models: ModelKeeper,
        pulse: Pulse,
        tagger: Tagger,
        store: Store,
        threads: Executor,
        fetcher: Fetcher,
        ahead: FetchAhead,
        fetch_budget_s: float,
        patience: FetchPatience,
        audit: AuditShares,
        metrics: BatchMetrics,
        clock: StageClock,
    ) -> None:
        self.clock = clock
        self._queue = queue
        self._models = models
        self._pulse = pulse
        self._tagger = tagger
        self._store = store
        self._threads = threads
        self._fetcher = fetcher
        self._ahead = ahead
        self._fetch_budget_s = fetch_budget_s
        self._patience = patience
        self._audit = audit
        self._metrics = metrics

    def close(self) -> None:
        """Close the connections that are kept to pictures' hosts; a process's end does it, too."""
        self._fetcher.close()

    def tag_and_store(
        self,
        payloads: Sequence[object],
        message_ids: Sequence[str],
        *,
        redelivered: Sequence[bool] | None = None,
        alone: bool = False,
        foreseen: Foreseen | None = None,
    ) -> list[int]:
        """Tag what the payloads ask for and commit every outcome, malformed ones included.

        message_ids: the id of each payload's message; redelivered: whether the broker says that it
        has delivered it before, None: of none. foreseen: what the next batch will probably ask
        for, which is fetched meanwhile. Returns the positions of suspects, which are untouched:
        each is to be given again, alone.

        Raises:
            StoreUnavailableError: nothing was stored.
        """
        fetching = BatchFetching(self._fetcher, self._fetch_budget_s)
        parsed = [_parse(payload) for payload in payloads]
        places = [place for place, each in enumerate(parsed) if isinstance(each, Job)]
        jobs = [each for each in parsed if isinstance(each, Job)]
        before = self.clock.reading()
        with self.clock.time("begin"):
            begun = self._store.begin(
                [
                    Delivery(
                        job=job,
                        message_id=message_ids[place],
                        redelivered=redelivered is not None and redelivered[place],
                    )
                    for job, place in zip(jobs, places, strict=True)
                ],
                alone=alone,
                queue=self._queue,
                meanwhile=self._beat,
            )
        # Between two batches: nothing of this one has been seen by a model yet.
        lineup = replace(
            self._models.look(self._pulse.generation),
            earned=self._pulse.earned,
            audit=self._audit,
        )
        now = [jobs[index] for index in begun.now]
        todo = self._without_unchanged(now, begun.attempts, lineup, fetching)
        # Where a run's chunk found pictures that need not be fetched, its next one will, too.
        if foreseen is not None and not (foreseen.of_run and len(todo) < len(now)):
            self._ahead.foresee(self._fetcher.fetch_validated, foreseen.uris)
        outcomes = self._tagger.tag_batch(
            todo,
            lineup,
            fetching.fetch,
            [self._patience.seconds(begun.attempts[job.product_id].number) for job in todo],
        )
        outcomes += [each for each in parsed if isinstance(each, Outcome)]
        retries: dict[str, datetime] = {}
        if outcomes:
            with self.clock.time("store"):
                retries = self._store.store(outcomes, begun.attempts, lineup.manifests)
        if told := [*begun.quarantined, *outcomes]:
            self._metrics.batch(told, tuple(retries), *self.clock.since(before))
            log_outcomes(told, begun.attempts, retries)
        return [places[index] for index in begun.alone]

    def record_crash(self, payloads: Sequence[object], dead: str, code: FailureCode) -> None:
        """Record that the child `dead` died over these payloads.

        Raises:
            StoreUnavailableError: nothing was recorded.
        """
        jobs = [_parse(payload) for payload in payloads]
        ids = [job.product_id for job in jobs if isinstance(job, Job)]
        self._store.record_crash(ids, dead, code)
        self._metrics.crash(code.value)

    def _without_unchanged(
        self,
        jobs: list[Job],
        attempts: Mapping[str, Attempt],
        lineup: Lineup,
        fetching: BatchFetching,
    ) -> list[Job]:
        """Settle what a re-tagging run need not fetch; a model on trial wants to see everything."""
        if lineup.canary is not None or lineup.shadow is not None:
            return jobs
        known = self._store.known_pictures(attempts)
        if not known:
            return jobs
        version = lineup.serving.manifest.model_version
        with self.clock.time("validate"):
            settled = unchanged(jobs, known, version, fetching.validator, self._threads)
        self._store.store_unchanged(settled, attempts)
        return [job for job in jobs if job.product_id not in settled]

    def _beat(self, session: Session, now: datetime) -> None:
        serving = self._models.lineup.serving.manifest
        self._pulse.beat_if_due(session, now, serving.model_version)


def _parse(payload: object) -> Job | Outcome:
    refusal = Refusal.found_in(payload)
    if refusal is not None:
        return refusal.outcome()
    try:
        return parse_job(payload)
    except MalformedJobError as error:
        return Outcome(
            subject=payload_subject(payload),
            job=None,
            result=Failure(code=FailureCode.MALFORMED_PAYLOAD, detail=str(error)),
            payload=canonical_json(payload),
        )
