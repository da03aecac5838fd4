"""Giving back what dead workers held: what they were at, and what they had reserved."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import redis
from sqlalchemy import Engine

from db.engine import sessions
from db.ledger.heartbeats import forget_worker, listen
from db.ledger.reconciling import Claimed, claim_abandoned
from worker import reserved

# Rows in one transaction, so that workers wait for no lock for long. What is left follows.
CLAIM_SIZE = 500
# A worker that no child of ever spoke of, as it ended within its first seconds.
UNHEARD_S = 60.0


class DeadWorkers:
    """Looked for at every pass of a reconciler.

    In this order: the ledger says first that the attempts of a dead worker ended with it, and only
    then its messages come back. The other way round the next worker would meet attempts that look
    alive, take them over, and a picture that kills every worker would never be known as one.
    Whatever ends in between is found by the next pass: the worker is forgotten last.
    """

    def __init__(
        self,
        engine: Engine,
        broker: redis.Redis,
        publish: Callable[[Sequence[Claimed]], None],
        named: Callable[[bytes], Sequence[str]],
    ) -> None:
        """named: the products that a message speaks of."""
        self._sessions = sessions(engine)
        self._broker = broker
        self._publish = publish
        self._named = named
        self._unheard_since: dict[str, float] = {}

    def give_back(self) -> int:
        """Return how many messages went back into the queues."""
        with self._sessions.begin() as session:
            found = listen(session)
        queues = reserved.workers(self._broker)
        unheard = self._unheard(queues, {*found.living, *found.dead})
        return sum(
            self._give_back_from(worker, queue)
            for worker, queue in {**unheard, **found.dead}.items()
        )

    def _unheard(self, queues: dict[str, str], heard: set[str]) -> dict[str, str]:
        now = time.monotonic()
        self._unheard_since = {
            worker: self._unheard_since.get(worker, now) for worker in queues if worker not in heard
        }
        return {
            worker: queues[worker]
            for worker, since in self._unheard_since.items()
            if now - since >= UNHEARD_S
        }

    def _give_back_from(self, worker: str, queue: str) -> int:
        claimed = self._claim(worker)
        messages = reserved.put_back(self._broker, worker, queue)
        there = {product_id for message in messages for product_id in self._named(message)}
        # What the worker was at is in its record as well, unless the broker has lost that.
        lost = [each for each in claimed if each.job.product_id not in there]
        self._publish(lost)
        with self._sessions.begin() as session:
            forget_worker(session, worker)
        reserved.forget(self._broker, worker)
        return len(messages) + len(lost)

    def _claim(self, worker: str) -> list[Claimed]:
        claimed: list[Claimed] = []
        while True:
            with self._sessions.begin() as session:
                some = claim_abandoned(session, datetime.now(UTC), worker, limit=CLAIM_SIZE)
            claimed += some
            if len(some) < CLAIM_SIZE:
                return claimed
