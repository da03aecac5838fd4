"""A process's signs of life, and what it sees of the model registry meanwhile."""

import time
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy.orm import Session

from catalog.acceptance import Earned
from catalog.queues import BULK_QUEUE
from db.registry.bundles import beat_and_look
from db.registry.photo_trust import earned

# A promoted model serves within this and a batch; batches in between cost no further row.
HEARTBEAT_S = 5.0


class Pulse:
    """Beats in the transaction that begins a batch, so that a sign of life costs no transaction.

    generation: of the registry, and earned: by model version, what photos have earned, as the last
    beat saw them. Both are only read from the database: a transaction that is rolled back after
    the beat leaves them true.
    """

    def __init__(self, name: str, queue: str, interval_s: float = HEARTBEAT_S) -> None:
        self._name, self._queue = name, queue
        # At every chunk: a run that is started just after a promotion is for the new model.
        self._interval_s = 0.0 if queue == BULK_QUEUE else interval_s
        self._next = 0.0
        self.generation = 0
        self.earned: Mapping[str, Earned] = {}

    def beat_if_due(self, session: Session, now: datetime, model_version: str) -> None:
        """Write a sign of life, and look at the registry; model_version is what serves."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._interval_s
        detail = {"model": model_version}
        self.generation = beat_and_look(session, self._name, self._queue, now, detail)
        self.earned = dict(earned(session))
