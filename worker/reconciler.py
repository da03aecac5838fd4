"""The reconciler: what is owed and not in the queue is published again.

It closes the gaps that a broker on Redis leaves open: a message that was popped and not yet
recorded as unacknowledged, a flushed or restored broker, a publisher that died after its commit.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import redis
from sqlalchemy import Engine

from catalog.jobs import is_product_id
from catalog.queues import BULK_QUEUE, CHUNK_SIZE_MAX, INGEST_QUEUE, TAG_CHUNK, TAG_PRODUCT
from catalog.settings import Settings
from db.engine import reading, sessions
from db.ledger.counts import gather
from db.ledger.heartbeats import RECONCILER, beat
from db.ledger.reconciling import Claimed, claim_due, claim_lost, is_due, published_at
from db.services.requests import forget
from worker.broker import depths
from worker.client import EnqueueClient
from worker.dead_workers import DeadWorkers
from worker.door.calls import payloads
from worker.door.reading import read
from worker.door.refusals import RefusedError
from worker.tagging.retries import RETRY_AFTER_S_MAX

QUEUES = (INGEST_QUEUE, BULK_QUEUE)
# A longer queue gets nothing more from here: what is lost can wait behind what is not.
DEPTH_MAX = 10_000
# Rows in one transaction, so that workers wait for no lock for long, and transactions in one pass,
# 20,000 products: the rest is taken by the next, TAGGER_RECONCILE_INTERVAL_S later.
CLAIM_SIZE = 500
CLAIMS_MAX = 40
# So many of the oldest messages are read for one whose product the ledger still waits for, and so
# many where there is none among these: a stranger's, or one that nobody can read, tells nothing.
OLDEST_READ = 64
OLDEST_READ_MAX = 1024


@dataclass(frozen=True, kw_only=True)
class Pass:
    """What one pass did: messages that dead workers held, and products."""

    returned: int = 0
    retried: int
    republished: int

    def detail(self) -> dict[str, Any]:
        return asdict(self)


class Reconciler:
    """Any number may run at once."""

    def __init__(
        self, engine: Engine, client: EnqueueClient, broker: redis.Redis, chosen: Settings
    ) -> None:
        self._sessions = sessions(engine)
        self._reading = reading(engine)
        self._client = client
        self._broker = broker
        self._chosen = chosen
        self._dead_workers = DeadWorkers(engine, broker, self._publish, product_ids)

    def run(self) -> Pass:
        """One pass over what is due and what is lost.

        Raises:
            redis.RedisError: the broker does not answer; nothing was claimed.
            kombu.exceptions.OperationalError: it went away on the way; what was claimed then is
                found again after TAGGER_LOST_AFTER_S.
        """
        self._broker.ping()
        self._client.declare_queues()
        returned = self._dead_workers.give_back()
        retried = self._retry_due()
        republished = sum(self._republish_lost(queue) for queue in QUEUES)
        done = Pass(returned=returned, retried=retried, republished=republished)
        now = datetime.now(UTC)
        with self._sessions.begin() as session:
            gather(session)
            forget(session, now - timedelta(days=self._chosen.idempotency_days))
            beat(session, RECONCILER, RECONCILER, now, done.detail())
        return done

    def publish_due(self) -> int:
        """Publish what is due, such as what came over HTTP; looks first, and locks nothing then.

        Raises:
            redis.RedisError: as `run`.
            kombu.exceptions.OperationalError: as `run`.
        """
        with self._reading() as session:
            if not is_due(session, datetime.now(UTC)):
                return 0
        self._broker.ping()
        self._client.declare_queues()
        return self._retry_due()

    def _retry_due(self) -> int:
        longest = max(self._chosen.retry_backoff_max_s, 1.1 * RETRY_AFTER_S_MAX)
        published = 0
        for _ in range(CLAIMS_MAX):
            if max(self._depths().values()) >= DEPTH_MAX:
                break
            with self._sessions.begin() as session:
                claimed = claim_due(
                    session, datetime.now(UTC), limit=CLAIM_SIZE, retry_s_max=longest
                )
            self._publish(claimed)
            published += len(claimed)
            if len(claimed) < CLAIM_SIZE:
                break
        return published

    def _republish_lost(self, queue: str) -> int:
        published = 0
        for _ in range(CLAIMS_MAX):
            before = self._lost_before(queue)
            if before is None or self._depths()[queue] >= DEPTH_MAX:
                break
            with self._sessions.begin() as session:
                claimed = claim_lost(
                    session,
                    datetime.now(UTC),
                    queue,
                    published_before=before,
                    attempt_s_max=self._chosen.attempt_s_max,
                    limit=CLAIM_SIZE,
                )
            self._publish(claimed)
            published += len(claimed)
            if len(claimed) < CLAIM_SIZE:
                break
        return published

    def _lost_before(self, queue: str) -> datetime | None:
        """What was published before this instant and has no outcome is not in the queue.

        A queue is served in order: whatever was published before its oldest message has left it.
        None when nothing can be said, as the ledger knows none of the oldest messages.
        """
        before = datetime.now(UTC) - timedelta(seconds=self._chosen.lost_after_s)
        for count in (OLDEST_READ, OLDEST_READ_MAX):
            oldest = list(reversed(self._broker.lrange(queue, -count, -1)))
            named = [ids for ids in map(product_ids, oldest) if ids]
            ids = [each for some in named for each in some]
            with self._reading() as session:
                stamps = published_at(session, ids[:CLAIM_SIZE])
            for some in named:
                known = [stamps[each] for each in some if each in stamps]
                if known:
                    return min(before, *known)
            if len(oldest) < count and not named:
                return before  # the whole queue speaks of no product at all
        return None

    def _publish(self, claimed: Sequence[Claimed]) -> None:
        singles = [each for each in claimed if each.queue == INGEST_QUEUE]
        self._client.publish(
            [each.job for each in singles],
            {each.job.product_id: each.message_id for each in singles},
        )
        for message_id, chunk in _chunks(each for each in claimed if each.queue == BULK_QUEUE):
            self._client.publish_chunk([each.job for each in chunk], message_id)

    def _depths(self) -> dict[str, int]:
        return depths(self._broker, QUEUES)


def product_ids(message: bytes | str) -> list[str]:
    """The products that a message in the queue speaks of; none where it cannot be read."""
    try:
        raw = message if isinstance(message, bytes) else message.encode()
        call = read(raw, (TAG_PRODUCT, TAG_CHUNK))
    except RefusedError:
        return []
    jobs = payloads(call.task, call.args, call.kwargs)
    named = [each.get("product_id") for each in jobs if isinstance(each, dict)]
    return [each for each in named if is_product_id(each)]


def _chunks(claimed: Iterator[Claimed]) -> Iterator[tuple[str, list[Claimed]]]:
    """What travelled in one message travels in one again."""
    together: dict[str, list[Claimed]] = defaultdict(list)
    for each in claimed:
        together[each.message_id].append(each)
    for message_id, chunk in together.items():
        for start in range(0, len(chunk), CHUNK_SIZE_MAX):
            yield message_id, chunk[start : start + CHUNK_SIZE_MAX]
