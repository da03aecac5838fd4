"""A run in the terminal: a bar."""

import time
from types import TracebackType
from typing import Any

from sqlalchemy import Engine
from tqdm import tqdm

from worker.retag.publisher import Step
from worker.retag.starting import progress_of

REFRESH_S = 1.0


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
