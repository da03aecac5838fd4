"""One fault's stage: a real broker, database and workers, and the ledger that is counted after."""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kombu.exceptions import OperationalError
from redis import Redis
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import DBAPIError

from catalog.jobs import Job, file_job
from catalog.queues import BULK_QUEUE, INGEST_QUEUE
from catalog.sample import write_pictures
from catalog.settings import read_settings
from catalog.status import ProductStatus
from db import migrate
from db.engine import make_engine, reading
from db.ledger.models import FailureRow, Product, Tagging
from db.ledger.results import unfinished
from lab.faults.app import CRASH, HANG
from lab.faults.databases import Database
from worker.broker import connect
from worker.client import EnqueueClient
from worker.local.embedded import EmbeddedBroker
from worker.local.processes import stop
from worker.local.stack import LocalStack

POLL_S = 0.05
PIECE = 32
# Short times, so that a fault is over in seconds: what they are does not change what is survived.
FAST: Mapping[str, Any] = {
    "batch_time_limit_s": 6.0,
    "fetch_timeout_s": 2.0,
    "connect_timeout_s": 1.0,
    "lost_after_s": 4.0,
    "reconcile_interval_s": 1.0,
    "retry_backoff_s": 0.5,
    "attempts_max": 10,
    "visibility_timeout_s": 3600,
}


class FaultError(Exception):
    """The fault could not be staged, or something worse than a lost item happened."""


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What the ledger holds of the items that went in."""

    items: int
    tagged: int
    failed: int
    lost: int
    doubled: int


class TestRig:
    """The running system and the handles to break it."""

    __test__ = False  # pytest would take the name for a class of tests

    def __init__(
        self, system: LocalStack, broker: EmbeddedBroker, database: Database, engine: Engine
    ) -> None:
        self.system, self.broker, self.database, self.engine = system, broker, database, engine
        self.redis: Redis = connect(broker.url)
        self.client = EnqueueClient(engine, broker_url=broker.url)
        self.pictures = [each.path for each in write_pictures(system.settings.home / "photos")]

    def jobs(self, name: str, count: int) -> list[Job]:
        """Good jobs, named `name-00000` and so on."""
        return [
            file_job(self.pictures[n % len(self.pictures)], f"{name}-{n:05d}") for n in range(count)
        ]

    def bad_job(self, product_id: str, *, hangs: bool) -> Job:
        """A job whose picture kills its process, or hangs it."""
        path = self.system.settings.home / "photos" / f"{product_id}.png"
        path.write_bytes(self.pictures[0].read_bytes() + (HANG if hangs else CRASH))
        return file_job(path, product_id)

    def enqueue(self, jobs: Sequence[Job], *, singles: float = 0.5) -> list[str]:
        """Accept all, a share one by one and the rest in chunks; return their ids.

        A broker that is away is no obstacle: what is in the ledger was accepted.
        """
        border = round(singles * len(jobs))
        for start in range(0, border, PIECE):
            with contextlib.suppress(OperationalError):
                self.client.enqueue_singles(jobs[start : min(start + PIECE, border)])
        for start in range(border, len(jobs), PIECE):
            with contextlib.suppress(OperationalError):
                self.client.enqueue_many(jobs[start : start + PIECE], chunk_size=PIECE)
        return [job.product_id for job in jobs]

    def at_work(self, queue: str = INGEST_QUEUE) -> int | None:
        """The process id of a child of that queue's worker that is in the middle of a batch."""
        open_attempt = select(Product.attempt_by).where(
            Product.attempt_by.is_not(None), Product.queue == queue
        )
        with reading(self.engine)() as session:
            found = session.scalars(open_attempt.limit(1)).first()
        return int(found.rsplit(":", 1)[1]) if found else None

    def wait_at_work(self) -> int:
        """Wait until a child is in the middle of a batch."""
        found = self.wait_for(self.at_work, timeout_s=60)
        if not isinstance(found, int):
            raise FaultError("no child was ever in the middle of a batch")
        return found

    def left(self, ids: Sequence[str]) -> int:
        """How many of these have no outcome; all, while the database is away."""
        try:
            with reading(self.engine)() as session:
                return unfinished(session, ids)
        except DBAPIError:
            return len(ids)

    def wait_for(self, condition: Any, *, timeout_s: float) -> Any:
        """Wait until the condition holds; what died meanwhile is started again."""
        deadline = time.monotonic() + timeout_s
        while True:
            found = condition()
            if found:
                return found
            if time.monotonic() > deadline:
                return None
            self.system.restart_dead()
            time.sleep(POLL_S)

    def settle(self, ids: Sequence[str], *, timeout_s: float) -> None:
        """Wait until every item has its outcome, or until the time is up."""
        self.wait_for(lambda: self.left(ids) == 0, timeout_s=timeout_s)

    def tally(self, ids: Sequence[str]) -> Tally:
        """Count what became of these items."""
        with reading(self.engine)() as session:
            mine = Product.id.in_(ids)
            counted = select(Product.status, func.count()).where(mine).group_by(Product.status)
            by_status = dict(session.execute(counted).all())
            words = Tagging.product_id.in_(ids)
            rows = session.scalar(select(func.count()).select_from(Tagging).where(words)) or 0
            key = select(Tagging.product_id, Tagging.model_version, Tagging.image_sha256)
            different = select(func.count()).select_from(key.where(words).distinct().subquery())
            letters = (
                select(func.count())
                .select_from(FailureRow)
                .join(Product, Product.id == FailureRow.product_id)
            )
            both = session.scalar(letters.where(mine, Product.status != ProductStatus.FAILED)) or 0
            doubled = rows - (session.scalar(different) or 0) + both
        tagged = by_status.get(ProductStatus.TAGGED, 0) + by_status.get(
            ProductStatus.NEEDS_REVIEW, 0
        )
        failed = by_status.get(ProductStatus.FAILED, 0)
        return Tally(
            items=len(ids),
            tagged=tagged,
            failed=failed,
            lost=len(ids) - tagged - failed,
            doubled=doubled,
        )


@contextmanager
def staged(
    home: Path,
    database: Database,
    overrides: Mapping[str, Any],
    *,
    bulk: bool = True,
    queue: Path | None = None,
) -> Iterator[TestRig]:
    """Start everything as `tagger up` does, and stop it at the end.

    queue: the broker's folder, if not the one in the home folder.
    """
    chosen = read_settings(
        home=home, database_url=database.url, redis_url=None, allowed_roots=(home,),
        **{**FAST, **overrides},
    )  # fmt: skip
    home.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        broker = EmbeddedBroker(queue or chosen.queue_folder)
        stack.callback(broker.stop)
        engine = make_engine(chosen.database, patience_s=2)
        stack.callback(engine.dispose)
        migrate.upgrade(engine)
        system = LocalStack(
            chosen.model_copy(update={"redis_url": broker.url}), app="lab.faults.app"
        )
        stack.callback(lambda: stop(list(system.workers.values()), grace_s=10))
        system.start_workers(queues=(INGEST_QUEUE, BULK_QUEUE) if bulk else (INGEST_QUEUE,))
        for name in system.workers:
            if name != "beat":
                wait_until_ready(system, name)
        yield TestRig(system, broker, database, engine)


def wait_until_ready(system: LocalStack, name: str) -> None:
    """Wait until a worker takes messages.

    Raises:
        SystemFailedError: it stopped instead.
    """
    while " ready." not in system.log(name).read_text(errors="replace"):
        system.require_alive()
        time.sleep(POLL_S)
