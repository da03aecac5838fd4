"""Publishing a run: a chunk at a time, never more than a set number of them waiting.

Every chunk is accepted, and the run's cursor moved, in one short transaction; then its message is
published. Whoever is killed in between leaves a run that goes on where it stood, and at most one
chunk that the reconciler publishes.
"""

import os
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum, auto
from uuid import uuid4

import redis
from kombu.exceptions import OperationalError
from sqlalchemy import ColumnElement, Engine
from sqlalchemy.orm import Session

from catalog.bundle import BundleError
from catalog.queues import BULK_QUEUE
from catalog.settings import Settings, variable
from db.engine import reading, sessions
from db.retag import pages as retag_pages
from db.retag import runs as retag_runs
from db.retag.conditions import condition
from db.retag.models import RetagRun, RunState
from db.retag.pages import LostRunError
from db.retag.selection import Selection
from worker.broker import depths
from worker.client import EnqueueClient
from worker.serving import serving_manifest

# A paused or cancelled run publishes for this long at most.
CHECK_EVERY_S = 5.0
# Between two looks at a queue that has TAGGER_RETAG_CHUNKS_MAX chunks already.
IDLE_S = 0.1
CHANGES_MIN = 1000  # a share of fewer products says little: such a run never pauses itself
SMOOTHING = 0.3  # weight of the newest pace in the one that is shown


class Step(Enum):
    """What one step did."""

    PUBLISHED = auto()  # a page was done
    FULL = auto()  # as many chunks wait as may
    WAITING = auto()  # all is published, outcomes are owed
    FINISHED = auto()  # every outcome is there
    STOPPED = auto()  # paused, cancelled, or in another publisher's hands
    BROKER_AWAY = auto()


class Publisher:
    """Publishes runs, one at a time; other publishers may do so at once, but never the same run."""

    def __init__(
        self, engine: Engine, client: EnqueueClient, broker: redis.Redis, chosen: Settings
    ) -> None:
        self.name = _name()
        self._sessions = sessions(engine)
        self._reading = reading(engine)
        self._client = client
        self._broker = broker
        self._chosen = chosen
        self._next_check = 0.0

    def drive(
        self,
        run_id: int,
        *,
        seconds: float = float("inf"),
        after_step: Callable[[Step], None] = lambda step: None,
    ) -> Step:
        """Publish until the run ends, is stopped, or the time is over; return the last step."""
        deadline = time.monotonic() + seconds
        self._next_check = 0.0
        self._release_if_dead(run_id)
        try:
            while True:
                step = self.step(run_id)
                after_step(step)
                if step in (Step.FINISHED, Step.STOPPED) or time.monotonic() >= deadline:
                    return step
                if step is not Step.PUBLISHED:
                    time.sleep(IDLE_S)
        finally:
            with self._sessions.begin() as session:
                retag_pages.let_go(session, run_id, self.name)

    def step(self, run_id: int) -> Step:
        """Publish at most one chunk.

        Raises:
            sqlalchemy.exc.DBAPIError: the database does not answer.
        """
        if time.monotonic() >= self._next_check:
            self._next_check = time.monotonic() + CHECK_EVERY_S
            if not self._may_go_on(run_id):
                return Step.STOPPED
        try:
            if depths(self._broker, (BULK_QUEUE,))[BULK_QUEUE] >= self._chosen.retag_chunks_max:
                return Step.FULL
            return self._publish_next(run_id)
        except LostRunError:
            return Step.STOPPED
        except (redis.RedisError, OperationalError):
            return Step.BROKER_AWAY

    def _release_if_dead(self, run_id: int) -> None:
        """Not to wait for the end of a lease whose holder died on this machine.

        Should it live after all, behind another process namespace, it finds its lease gone.
        """
        with self._reading() as session:
            holder = retag_runs.find(session, run_id).leased_by
        if holder is not None and _died_here(holder):
            with self._sessions.begin() as session:
                retag_pages.let_go(session, run_id, holder)

    def _publish_next(self, run_id: int) -> Step:
        with self._reading() as session:
            run = retag_runs.find(session, run_id)
            since, wanted = run.cursor, _wanted(run)
            page = retag_pages.next_page(session, since, wanted, limit=self._chosen.chunk_size)
        if page.looked == 0:
            return self._finish(run_id)
        with self._sessions.begin() as session:
            taken = retag_pages.take(
                session, run_id, self.name, since, page, wanted, datetime.now(UTC)
            )
        if taken.jobs:
            self._client.publish_chunk(taken.jobs, taken.message_id)
        return Step.PUBLISHED

    def _finish(self, run_id: int) -> Step:
        """End the run when nothing is owed any more."""
        now = datetime.now(UTC)
        with self._reading() as session:
            run = retag_runs.find(session, run_id)
            if run.state != RunState.RUNNING:
                return Step.STOPPED
            done = retag_runs.counts(session, run_id).done
            if done < run.published and session.scalar(retag_runs.owed(run_id).limit(1)):
                return Step.WAITING
        with self._sessions.begin() as session:
            found = retag_pages.lease(session, run_id, self.name, now)
            if found is None:
                return Step.STOPPED
            _measure_pace(found, done, now)
            found.state, found.finished_at = RunState.FINISHED, now
            found.leased_by = found.leased_until = None
        return Step.FINISHED

    def _may_go_on(self, run_id: int) -> bool:
        """Renew the lease, measure the pace, and stop a run that a person should look at."""
        now = datetime.now(UTC)
        with self._sessions.begin() as session:
            run = retag_pages.lease(session, run_id, self.name, now)
            if run is None:
                return False
            found = retag_runs.counts(session, run_id)
            _measure_pace(run, found.done, now)
            why = self._why_stop(session, run, found)
            if why is not None:
                retag_runs.move(
                    session, run_id, RunState.PAUSED, allowed=(RunState.RUNNING,), why=why
                )
            return why is None

    def _why_stop(self, session: Session, run: RetagRun, found: retag_runs.Counts) -> str | None:
        try:
            serving = serving_manifest(session, self._chosen).model_version
        except BundleError as error:
            return f"The model is gone: {error}"
        if serving != run.model_version:
            return (
                f"Expected the model {run.model_version} to serve, found {serving}. Resuming goes "
                "on with that one."
            )
        if found.kept + found.changed < CHANGES_MIN or found.changed_share <= run.change_share_max:
            return None
        return (
            f"Expected at most {100 * run.change_share_max:.0f} % changed labels "
            f"({variable('retag_change_share_max')}), found {100 * found.changed_share:.1f} % of "
            f"{found.kept + found.changed} products. Look at `tagger retag report {run.id}`; "
            f"`tagger retag resume {run.id} --any-change` goes on all the same."
        )


def _name() -> str:
    return f"{socket.gethostname()[:80]}:{os.getpid()}:{uuid4().hex[:8]}"


def _died_here(publisher: str) -> bool:
    host, process_id, _ = publisher.rsplit(":", 2)
    if host != socket.gethostname()[:80]:
        return False
    try:
        os.kill(int(process_id), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _wanted(run: RetagRun) -> ColumnElement[bool]:
    selection = Selection.of_json(run.selection)
    return condition(selection, model_version=run.model_version, as_of=run.created_at)


def _measure_pace(run: RetagRun, done: int, now: datetime) -> None:
    if run.paced_at is not None and now > run.paced_at:
        seconds = (now - run.paced_at).total_seconds()
        if seconds < CHECK_EVERY_S / 2 and run.items_per_s is not None:
            return
        pace = max(0, done - run.paced_done) / seconds
        before = run.items_per_s
        run.items_per_s = pace if before is None else before + SMOOTHING * (pace - before)
    run.paced_at, run.paced_done = now, done
