"""Two transactions a batch: one counts the attempts, one stores what came of them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy import Engine, exc

from catalog.bundle import Manifest
from catalog.failures import FailureCode
from catalog.outcomes import Failure, Outcome, Tagging
from db import attempts as ledger
from db import shadow_taggings
from db.attempts import Attempt, Begun, Delivery
from db.engine import sessions
from db.model_registry import beat_and_look
from db.recording import record_model, record_outcomes
from worker.identity import owner
from worker.retries import RetryPolicy

UNAVAILABLE = (exc.OperationalError, exc.InterfaceError, exc.TimeoutError)


class StoreUnavailableError(Exception):
    """The database is away, locked or full: nothing of the batch was stored."""


class Store:
    """Writes attempts and outcomes; one for each process."""

    def __init__(self, engine: Engine, retries: RetryPolicy, *, attempt_s_max: float) -> None:
        self._sessions = sessions(engine)
        # The manifests of all models that spoke in this process, by version.
        self._manifests: dict[str, Manifest] = {}
        # The registry's generation as the last heartbeat saw it.
        self.generation = 0
        self._retries = retries
        self._attempt_s_max = attempt_s_max
        # Attempts that ended while the database was away, and are still to be taken back.
        self._owed: dict[str, Attempt] = {}

    def know(self, manifests: Sequence[Manifest]) -> None:
        """Whose taggings will be stored: their rows are written with the first of them."""
        self._manifests |= {each.model_version: each for each in manifests}

    def begin(
        self,
        deliveries: Sequence[Delivery],
        *,
        alone: bool,
        queue: str,
        heartbeat: str | None,
        model: str = "",
    ) -> Begun:
        """Count the attempts, and commit, before any picture is touched.

        heartbeat: the name of a sign of life that is due, and then also looks whether the model
        registry has changed; model: the version that serves.

        Raises:
            StoreUnavailableError: nothing was counted; the messages must not be acknowledged.
        """
        now = datetime.now(UTC)
        with unavailable_if_away(), self._sessions.begin() as session:
            if self._owed:
                ledger.release(session, self._owed)
            begun = ledger.begin(
                session,
                deliveries,
                now,
                owner=owner(),
                attempt_s_max=self._attempt_s_max,
                alone=alone,
                queue=queue,
            )
            if begun.quarantined:
                record_outcomes(session, begun.quarantined, now, attempts=begun.attempts)
            if heartbeat is not None:
                self.generation = beat_and_look(session, heartbeat, queue, now, {"model": model})
        self._owed.clear()
        return begun

    def store(
        self, outcomes: Sequence[Outcome], attempts: Mapping[str, Attempt] | None = None
    ) -> dict[str, datetime]:
        """Commit what became of a batch; return when failed products are tried again.

        A row that the database refuses for what it holds becomes a failure of its product; its
        batch-mates are stored.

        Raises:
            StoreUnavailableError: nothing was stored; the messages must not be acknowledged.
        """
        attempts = attempts or {}
        try:
            with unavailable_if_away():
                return self._store(outcomes, attempts)
        except StoreUnavailableError:
            self._take_back(attempts)
            raise

    def bury(self, product_ids: Sequence[str], dead: str, trouble: FailureCode) -> None:
        """Record that the child `dead` died over these products.

        Raises:
            StoreUnavailableError: nothing was recorded.
        """
        with unavailable_if_away(), self._sessions.begin() as session:
            ledger.bury(session, product_ids, dead, trouble)

    def _store(
        self, outcomes: Sequence[Outcome], attempts: Mapping[str, Attempt]
    ) -> dict[str, datetime]:
        try:
            return self._commit(outcomes, attempts)
        except UNAVAILABLE:
            raise
        except exc.DBAPIError as error:
            if len(outcomes) == 1:
                return self._store([_refused(outcomes[0], error)], attempts)
            retries: dict[str, datetime] = {}
            for outcome in outcomes:
                retries |= self._store([outcome], attempts)
            return retries

    def _commit(
        self, outcomes: Sequence[Outcome], attempts: Mapping[str, Attempt]
    ) -> dict[str, datetime]:
        now = datetime.now(UTC)
        retries = self._retries.plan(outcomes, attempts, now)
        with self._sessions.begin() as session:
            for manifest in self._manifests_of(outcomes):
                record_model(session, manifest, now)
            record_outcomes(session, outcomes, now, attempts=attempts, retries=retries)
            shadow_taggings.record(session, outcomes, now)
        return retries

    def _manifests_of(self, outcomes: Sequence[Outcome]) -> list[Manifest]:
        taggings = (each.result for each in outcomes if isinstance(each.result, Tagging))
        versions = {tagging.model_version for tagging in taggings}
        versions |= {each.shadow.model_version for each in outcomes if each.shadow}
        return [self._manifests[version] for version in sorted(versions)]

    def _take_back(self, attempts: Mapping[str, Attempt]) -> None:
        """No picture is to blame for a database that is away: its attempt does not count."""
        self._owed.update(attempts)
        try:
            with unavailable_if_away(), self._sessions.begin() as session:
                ledger.release(session, self._owed)
        except StoreUnavailableError:
            return  # the next batch of this process does it, in the transaction that begins it
        self._owed.clear()


@contextmanager
def unavailable_if_away() -> Iterator[None]:
    """Raise StoreUnavailableError where the database is away, locked or full."""
    try:
        yield
    except UNAVAILABLE as error:
        raise StoreUnavailableError(str(error)) from error


def _refused(outcome: Outcome, error: exc.DBAPIError) -> Outcome:
    if isinstance(outcome.result, Failure) and outcome.result.code is FailureCode.INTERNAL_ERROR:
        raise StoreUnavailableError(str(error)) from error  # not even the failure can be stored
    detail = f"The database refused the outcome: {error.orig}. Please report this."
    return Outcome(
        subject=outcome.subject,
        job=outcome.job,
        result=Failure(code=FailureCode.INTERNAL_ERROR, detail=detail),
    )
