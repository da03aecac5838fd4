"""Two transactions a batch: one counts the attempts, one stores what came of them."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy import Engine, exc
from sqlalchemy.orm import Session

from catalog.bundle import Manifest
from catalog.failures import FailureCode
from catalog.outcomes import Failure, Outcome, Tagging
from db.engine import LOCK_POLL_S, reading, sessions
from db.ledger import attempts as ledger
from db.ledger import transitions
from db.ledger.attempts import Attempt, Begun, Delivery
from db.ledger.recording import record_model, record_outcomes
from db.registry import shadows as shadow_taggings
from db.retag.message_ids import run_of
from db.retag.outcomes import Known, known_pictures, record_unchanged
from worker.tagging.identity import owner
from worker.tagging.retries import RetryPolicy

# Between two of a batch's transactions: SQLite's lock goes to whoever looks first.
GAP_S = 2 * LOCK_POLL_S
UNAVAILABLE = (exc.OperationalError, exc.InterfaceError, exc.TimeoutError)


class StoreUnavailableError(Exception):
    """The database is away, locked or full: nothing of the batch was stored."""


class Store:
    """Writes attempts and outcomes; one for each process."""

    def __init__(
        self,
        engine: Engine,
        retries: RetryPolicy,
        *,
        attempt_s_max: float,
        flag_changes_from: float = 0.0,
        together_max: int | None = None,
    ) -> None:
        """together_max: outcomes in one transaction at most; None: all of a batch."""
        self._sessions = sessions(engine)
        self._reading = reading(engine)
        self._retries = retries
        self._attempt_s_max = attempt_s_max
        self._flag_changes_from = flag_changes_from
        self._together_max = together_max
        # Attempts that ended while the database was away, and are still to be taken back.
        self._owed: dict[str, Attempt] = {}

    def begin(
        self,
        deliveries: Sequence[Delivery],
        *,
        alone: bool,
        queue: str,
        meanwhile: Callable[[Session, datetime], None],
    ) -> Begun:
        """Count the attempts, and commit, before any picture is touched.

        meanwhile: what else is done in the same transaction.

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
            meanwhile(session, now)
        self._owed.clear()
        return begun

    def known_pictures(self, attempts: Mapping[str, Attempt]) -> dict[str, Known]:
        """Of the products of re-tagging runs, those whose picture may not have to be fetched.

        Raises:
            StoreUnavailableError: the messages must not be acknowledged.
        """
        if not any(run_of(each.message_id) for each in attempts.values()):
            return {}
        with self._taken_back_if_away(attempts), self._reading() as session:
            return known_pictures(session, attempts)

    def store_unchanged(
        self, product_ids: Collection[str], attempts: Mapping[str, Attempt]
    ) -> None:
        """Commit that these products' taggings stand.

        Raises:
            StoreUnavailableError: nothing was stored; the messages must not be acknowledged.
        """
        if product_ids:
            with self._taken_back_if_away(attempts), self._sessions.begin() as session:
                record_unchanged(session, product_ids, attempts, datetime.now(UTC))

    def store(
        self,
        outcomes: Sequence[Outcome],
        attempts: Mapping[str, Attempt],
        manifests: Sequence[Manifest],
    ) -> dict[str, datetime]:
        """Commit what became of a batch; return when failed products are tried again.

        manifests: of all models that may have spoken; the rows of those that did come first.

        A row that the database refuses for what it holds becomes a failure of its product; its
        batch-mates are stored.

        Raises:
            StoreUnavailableError: nothing was stored; the messages must not be acknowledged.
        """
        retries: dict[str, datetime] = {}
        size = self._together_max or len(outcomes) or 1
        with self._taken_back_if_away(attempts):
            for start in range(0, len(outcomes), size):
                if start:
                    time.sleep(GAP_S)
                some = outcomes[start : start + size]
                retries |= self._store(some, attempts, manifests)
        return retries

    def record_crash(self, product_ids: Sequence[str], dead: str, code: FailureCode) -> None:
        """Record that the child `dead` died over these products.

        Raises:
            StoreUnavailableError: nothing was recorded.
        """
        with unavailable_if_away(), self._sessions.begin() as session:
            transitions.record_crash(session, product_ids, dead, code)

    def _store(
        self,
        outcomes: Sequence[Outcome],
        attempts: Mapping[str, Attempt],
        manifests: Sequence[Manifest],
    ) -> dict[str, datetime]:
        try:
            return self._commit(outcomes, attempts, manifests)
        except UNAVAILABLE:
            raise
        except exc.DBAPIError as error:
            if len(outcomes) == 1:
                return self._store([_refused(outcomes[0], error)], attempts, manifests)
            retries: dict[str, datetime] = {}
            for outcome in outcomes:
                retries |= self._store([outcome], attempts, manifests)
            return retries

    def _commit(
        self,
        outcomes: Sequence[Outcome],
        attempts: Mapping[str, Attempt],
        manifests: Sequence[Manifest],
    ) -> dict[str, datetime]:
        now = datetime.now(UTC)
        retries = self._retries.plan(outcomes, attempts, now)
        with self._sessions.begin() as session:
            for manifest in _spoke(outcomes, manifests):
                record_model(session, manifest, now)
            record_outcomes(
                session,
                outcomes,
                now,
                attempts=attempts,
                retries=retries,
                flag_changes_from=self._flag_changes_from,
            )
            shadow_taggings.record(session, outcomes, now)
        return retries

    @contextmanager
    def _taken_back_if_away(self, attempts: Mapping[str, Attempt]) -> Iterator[None]:
        try:
            with unavailable_if_away():
                yield
        except StoreUnavailableError:
            self._take_back(attempts)
            raise

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


def _spoke(outcomes: Sequence[Outcome], manifests: Sequence[Manifest]) -> list[Manifest]:
    """The manifests of those models whose word is among the outcomes."""
    taggings = (each.result for each in outcomes if isinstance(each.result, Tagging))
    versions = {tagging.model_version for tagging in taggings}
    versions |= {each.shadow.model_version for each in outcomes if each.shadow}
    return [each for each in manifests if each.model_version in versions]


def _refused(outcome: Outcome, error: exc.DBAPIError) -> Outcome:
    if isinstance(outcome.result, Failure) and outcome.result.code is FailureCode.INTERNAL_ERROR:
        raise StoreUnavailableError(str(error)) from error  # not even the failure can be stored
    detail = f"The database refused the outcome: {error.orig}. Please report this."
    return Outcome(
        subject=outcome.subject,
        job=outcome.job,
        result=Failure(code=FailureCode.INTERNAL_ERROR, detail=detail),
    )
