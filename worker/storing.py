"""One batch, one transaction."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Engine, exc

from catalog.bundle import Manifest
from catalog.failures import FailureCode
from catalog.outcomes import Failure, Outcome
from db.engine import sessions
from db.recording import record_model, record_outcomes

UNAVAILABLE = (exc.OperationalError, exc.InterfaceError, exc.TimeoutError)


class StoreUnavailableError(Exception):
    """The database is away, locked or full: nothing of the batch was stored."""


class Store:
    """Writes outcomes; one for each process."""

    def __init__(self, engine: Engine, manifest: Manifest) -> None:
        self._sessions = sessions(engine)
        self._manifest = manifest

    def store(self, outcomes: Sequence[Outcome]) -> None:
        """Commit what became of a batch.

        A row that the database refuses for what it holds becomes a failure of its product; its
        batch-mates are stored.

        Raises:
            StoreUnavailableError: nothing was stored; the messages must not be acknowledged.
        """
        try:
            self._commit(outcomes)
        except UNAVAILABLE as error:
            raise StoreUnavailableError(str(error)) from error
        except exc.DBAPIError as error:
            if len(outcomes) == 1:
                self.store([_refused(outcomes[0], error)])
                return
            for outcome in outcomes:
                self.store([outcome])

    def _commit(self, outcomes: Sequence[Outcome]) -> None:
        now = datetime.now(UTC)
        with self._sessions.begin() as session:
            record_model(session, self._manifest, now)
            record_outcomes(session, outcomes, now)


def _refused(outcome: Outcome, error: exc.DBAPIError) -> Outcome:
    if isinstance(outcome.result, Failure) and outcome.result.code is FailureCode.INTERNAL_ERROR:
        raise StoreUnavailableError(str(error)) from error  # not even the failure can be stored
    detail = f"The database refused the outcome: {error.orig}. Please report this."
    return Outcome(
        subject=outcome.subject,
        job=outcome.job,
        result=Failure(code=FailureCode.INTERNAL_ERROR, detail=detail),
    )
