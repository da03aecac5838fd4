"""Runs: planning, finding, pausing and counting them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, func, or_, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from catalog.errors import OperatorError
from db.base import EPOCH
from db.ledger.models import Product
from db.retag.message_ids import prefix
from db.retag.models import OPEN, RetagChunk, RetagRun, RunState
from db.retag.selection import Selection

# Below so many products counting is quicker than doubting the planner's estimate.
ESTIMATE_MIN = 100_000
ESTIMATE_ON_POSTGRESQL = (
    "SELECT reltuples\\:\\:bigint FROM pg_class WHERE oid = 'products'\\:\\:regclass"
)
ESTIMATE_ON_SQLITE = "SELECT max(rowid) FROM products"  # rows are hardly ever deleted


class RunError(OperatorError):
    """A run that cannot be started, found or changed."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Products of a run by what became of them; the others have no outcome yet."""

    chunks: int = 0
    kept: int = 0
    changed: int = 0
    skipped: int = 0
    failed: int = 0

    @property
    def done(self) -> int:
        return self.kept + self.changed + self.skipped + self.failed

    @property
    def changed_share(self) -> float:
        """Of those that were tagged anew, 0-1."""
        tagged = self.kept + self.changed
        return self.changed / tagged if tagged else 0.0


def plan(
    session: Session,
    selection: Selection,
    now: datetime,
    *,
    model_version: str,
    who: str,
    change_share_max: float = 1.0,
) -> RetagRun:
    """Write a run down.

    Raises:
        RunError: one of the same selection is open.
    """
    run = RetagRun(
        selection=selection.as_json(),
        selection_key=selection.key,
        state=RunState.PLANNED,
        model_version=model_version,
        requested_by=who[:64],
        change_share_max=change_share_max,
        products=count_products(session),
        cursor="",
        looked=0,
        published=0,
        labels_before={},
        paced_done=0,
        created_at=now,
    )
    try:
        with session.begin_nested():
            session.add(run)
    except IntegrityError:
        same = select(RetagRun.id).where(RetagRun.selection_key == selection.key, is_open())
        raise RunError(
            f"Expected no open run of the selection {selection.text}, found run "
            f"{session.scalar(same)}. Wait for it, or end it: `tagger retag cancel`."
        ) from None
    return run


def count_products(session: Session) -> int:
    """How many products the ledger holds; an estimate where they are many.

    Counting reads a whole index, and this is for a progress bar.
    """
    postgres = session.get_bind().dialect.name == "postgresql"
    estimate = session.scalar(text(ESTIMATE_ON_POSTGRESQL if postgres else ESTIMATE_ON_SQLITE)) or 0
    if estimate >= ESTIMATE_MIN:
        return int(estimate)
    return session.scalar(select(func.count()).select_from(Product)) or 0


def find(session: Session, run_id: int, *, lock: bool = False) -> RetagRun:
    """A run by its id, as it stands in the database now.

    Raises:
        RunError: there is none.
    """
    run = session.get(
        RetagRun, run_id, with_for_update=True if lock else None, populate_existing=True
    )
    if run is None:
        raise RunError(f"Expected a run {run_id}, found none. `tagger retag list` shows them.")
    return run


def open_runs(session: Session) -> list[RetagRun]:
    """Those that are planned, running or paused, the oldest first."""
    return list(session.scalars(select(RetagRun).where(is_open()).order_by(RetagRun.id)))


def newest_runs(session: Session, limit: int) -> list[RetagRun]:
    """The newest first."""
    return list(session.scalars(select(RetagRun).order_by(RetagRun.id.desc()).limit(limit)))


def is_open() -> ColumnElement[bool]:
    return RetagRun.state.in_(OPEN)


def move(
    session: Session,
    run_id: int,
    state: RunState,
    *,
    allowed: Sequence[RunState],
    why: str | None = None,
) -> RetagRun:
    """Bring a run into another state; `why` is kept as its last error, None forgets it.

    Raises:
        RunError: it is in none of the allowed states.
    """
    run = find(session, run_id, lock=True)
    if run.state not in allowed:
        wanted = " or ".join(allowed)
        raise RunError(f"Expected run {run_id} to be {wanted}, found it {run.state}.")
    run.state, run.last_error = state, why[:2000] if why else None
    if state is not RunState.RUNNING:
        run.leased_by = run.leased_until = None
    # A pause must not count into the pace.
    run.paced_at = run.items_per_s = None
    return run


def counts(session: Session, run_id: int) -> Counts:
    """What became of a run's products so far: a sum over its chunks."""
    names = ("kept", "changed", "skipped", "failed")
    sums = [func.coalesce(func.sum(getattr(RetagChunk, name)), 0) for name in names]
    chosen = select(func.count(), *sums).where(RetagChunk.run_id == run_id)
    chunks, *values = session.execute(chosen).one()
    return Counts(
        chunks=chunks, **{name: int(value) for name, value in zip(names, values, strict=True)}
    )


def owed(run_id: int) -> Select[str]:
    """The products that a run has published and that have no outcome yet.

    Only what is on its way or waits for a retry is looked at. What is missing here and in the
    counts was overtaken: accepted anew by somebody else meanwhile.
    """
    # SQLite searches an index for what is greater, not for what is not null.
    on_its_way = or_(Product.published_at > EPOCH, Product.next_attempt_at > EPOCH)
    mine = Product.message_id.startswith(prefix(run_id), autoescape=True)
    return select(Product.id).where(on_its_way, mine)
