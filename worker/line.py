"""Batches that wait for a child, and which of them a child may fetch ahead.

The pool is handed no more batches than it has children: what waits, waits here. So the batch that a
child gets next is known while it is at work on another, and its pictures' addresses travel with
that other one: the child fetches them while it computes (worker/tagging/fetch_ahead.py).

This is a promise of convenience. A batch that was promised to a busy child goes to an idle one if
nothing else waits; a child that gets another batch than it foresaw drops what it fetched. Nothing
of a batch that waits here is in the ledger, begun or acknowledged: at a shutdown its messages go
back to the broker with the connection, and what was fetched ahead ends with its child.

All of it runs in the one thread of the worker's event loop; see worker/batches.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from celery_batches import SimpleRequest

from worker.tagging.fetch_ahead import Foreseen

# Hands one batch, and what its child may fetch meanwhile, to the pool.
Submit = Callable[["Batch", "Foreseen | None"], None]


@dataclass(kw_only=True, eq=False)
class Batch:
    """One batch: messages[i] is acknowledged or put back for parts[i]."""

    messages: Sequence[Any]
    parts: list[SimpleRequest]
    alone: bool
    at_work: list[int] = field(default_factory=list)  # the process that accepted it
    next: "Batch | None" = None  # what its child fetches ahead


class Line:
    """The batches of one worker on their way to its children, in order of arrival."""

    def __init__(self, submit: Submit, foresee: Callable[["Batch"], Foreseen | None]) -> None:
        self._submit, self._foresee = submit, foresee
        self.children = 1
        self._waiting: list[Batch] = []
        self._handed_over: set[Batch] = set()
        self._is_going_on = False

    @property
    def to_spare(self) -> int:
        """Batches that wait beyond the one that each child goes on with; below 0: so many lack."""
        return len(self._waiting) - self.children

    def add(self, batch: Batch) -> None:
        """Let a batch wait its turn; a suspect's turn is next, as its message is half done."""
        self._waiting.insert(0 if batch.alone else len(self._waiting), batch)
        self._go_on()

    def accepted(self, batch: Batch, process_id: int) -> None:
        """A child took it up."""
        self._handed_over.add(batch)
        batch.at_work.append(process_id)

    def ended(self, batch: Batch, *, died: bool = False) -> None:
        """Its child is free, or dead with what it had fetched; to be said after its results."""
        self._handed_over.discard(batch)
        if not died and batch.next in self._waiting:
            self._waiting.remove(batch.next)
            self._waiting.insert(0, batch.next)
        batch.next = None
        self._go_on()

    def reconnected(self, children: int) -> None:
        """The broker will deliver anew what no child has taken up: forget it.

        Celery's pool does the same with what it was handed and did not pass on, and says so to
        nobody. Should a child take up one of those after all, `accepted` counts it again.
        """
        self.children = children
        self._waiting.clear()
        self._handed_over = {batch for batch in self._handed_over if batch.at_work}

    def _go_on(self) -> None:
        # A pool that works in this very process calls back while it is handed a batch.
        if self._is_going_on:
            return
        self._is_going_on = True
        try:
            while self._waiting and len(self._handed_over) < self.children:
                self._hand_over()
        finally:
            self._is_going_on = False

    def _hand_over(self) -> None:
        promised = {batch.next for batch in self._handed_over}
        # A child that is free takes what was promised to another before it idles.
        free = [batch for batch in self._waiting if batch not in promised]
        batch = (free or self._waiting)[0]
        self._waiting.remove(batch)
        self._handed_over.add(batch)
        foreseen = None
        # While another child idles, it takes what is next.
        if len(self._handed_over) >= self.children and not batch.alone:
            batch.next = next((each for each in free if each is not batch), None)
            foreseen = self._foresee(batch.next) if batch.next is not None else None
        self._submit(batch, foreseen)
