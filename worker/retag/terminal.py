"""A run in the terminal: one line, or a bar."""

import time
from datetime import timedelta
from types import TracebackType
from typing import Any

from sqlalchemy import Engine
from tqdm import tqdm

from db.retag.models import RunState
from db.retag.progress import Progress
from worker.retag.publisher import Step
from worker.retag.starting import progress_of

REFRESH_S = 1.0


def line(found: Progress) -> str:
    """One run in one line."""
    counts = found.counts
    parts = [
        f"Run {found.run_id} ({found.selection}) {found.state.value}: "
        f"{counts.done} of {_about(found)} products done",
        f"{counts.changed} changed, {counts.kept} kept, {counts.skipped} skipped, "
        f"{counts.failed} failed",
    ]
    if found.state is RunState.RUNNING:
        parts += [pace(found)]
    if found.state is RunState.FINISHED and not found.published:
        parts = [f"Run {found.run_id} ({found.selection}) finished: nothing to do, no product "
                 "matches"]  # fmt: skip
    text = "; ".join(parts)
    return f"{text}\n  {found.last_error}" if found.last_error else text


def pace(found: Progress) -> str:
    """Items per second and the time left, as far as they are known."""
    rate = "-" if found.items_per_s is None else f"{found.items_per_s:.0f}"
    left = found.remaining_s
    return f"{rate} items/s, {'-' if left is None else timedelta(seconds=round(left))} left"


def _about(found: Progress) -> str:
    certain = found.expected == found.published
    return f"{found.expected}" if certain else f"about {found.expected}"


class ProgressBar:
    """A bar on stderr; it reads the ledger once in a while, whoever does the work."""

    def __init__(self, engine: Engine, run_id: int) -> None:
        self._engine = engine
        self._run_id = run_id
        self._next = 0.0
        self._bar: Any = tqdm(unit="item", desc=f"Run {run_id}", smoothing=0.1)

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._refresh()
        self._bar.close()

    def update(self, step: Step) -> None:
        """Called after every step of the publisher."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + REFRESH_S
        self._refresh("the broker is away, waiting" if step is Step.BROKER_AWAY else "")

    def _refresh(self, note: str = "") -> None:
        found = progress_of(self._engine, self._run_id)
        self._bar.total = found.expected
        self._bar.set_postfix_str(note or f"{found.counts.changed} changed", refresh=False)
        self._bar.update(found.counts.done - self._bar.n)
