"""How far a run is, how fast it goes, and how long it will take."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from db.retag.models import LEASE, RetagRun, RunState
from db.retag.runs import Counts, counts, open_runs
from db.retag.selection import Selection


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One run at one instant.

    looked and products: how many of the ledger's products the run has passed. items_per_s is None
    until it was measured, remaining_s also where nothing moves.
    """

    run_id: int
    selection: str
    state: RunState
    model_version: str
    requested_by: str
    products: int
    looked: int
    published: int
    counts: Counts
    items_per_s: float | None
    created_at: datetime
    finished_at: datetime | None
    published_by: str | None  # who publishes it now; None: nobody at this instant
    last_error: str | None

    @property
    def expected(self) -> int:
        """How many products the run will have published in the end, as far as can be told."""
        if self.state in (RunState.FINISHED, RunState.CANCELLED) or not self.looked:
            return self.published
        left = max(0, self.products - self.looked)
        return self.published + round(left * self.published / self.looked)

    @property
    def remaining_s(self) -> float | None:
        if self.state is not RunState.RUNNING or not self.items_per_s:
            return None
        return max(0, self.expected - self.counts.done) / self.items_per_s

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.run_id,
            "selection": self.selection,
            "state": self.state.value,
            "model_version": self.model_version,
            "requested_by": self.requested_by,
            "products": self.products,
            "looked": self.looked,
            "selected": self.published,
            "expected": self.expected,
            "done": self.counts.done,
            "kept": self.counts.kept,
            "changed": self.counts.changed,
            "skipped": self.counts.skipped,
            "failed": self.counts.failed,
            "chunks": self.counts.chunks,
            "items_per_s": self.items_per_s,
            "remaining_s": self.remaining_s,
            "created_at": self.created_at.isoformat(),
            "finished_at": self.finished_at.isoformat() if self.finished_at else None,
            "published_by": self.published_by,
            "last_error": self.last_error,
        }


def progress(session: Session, run: RetagRun, now: datetime) -> Progress:
    """Measure a run, by indexed columns only."""
    leased = run.leased_until is not None and now < run.leased_until <= now + 2 * LEASE
    return Progress(
        run_id=run.id,
        selection=Selection.of_json(run.selection).text,
        state=RunState(run.state),
        model_version=run.model_version,
        requested_by=run.requested_by,
        products=run.products,
        looked=run.looked,
        published=run.published,
        counts=counts(session, run.id),
        items_per_s=run.items_per_s,
        created_at=run.created_at,
        finished_at=run.finished_at,
        published_by=run.leased_by if leased else None,
        last_error=run.last_error,
    )


def progress_of_open(session: Session, now: datetime) -> list[Progress]:
    """Of every run that is not over, the oldest first."""
    return [progress(session, run, now) for run in open_runs(session)]
