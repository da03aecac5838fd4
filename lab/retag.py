"""New products while the whole catalog is tagged again: what a single ingest job waits for.

A real system as `tagger up` starts it, a ledger of a million products, and a run over all of them.
The run never has more than TAGGER_RETAG_CHUNKS_MAX messages in the queue: what is queued stands in
the ledger, and that is what is filled here. Turns without and with single jobs alternate, so that
what else the machine does meets both; a run that does not go on is no figure but an error.
"""

import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from catalog.jobs import Job
from catalog.queues import BULK_QUEUE
from catalog.settings import read_settings
from db import migrate
from db.engine import make_engine, reading
from db.ledger.models import Product
from db.ledger.results import UNFINISHED
from db.retag.models import RunState
from db.retag.progress import Progress
from db.retag.selection import Selection
from lab.scale.synthetic import fill
from lab.serving import generate_photos
from worker.client import EnqueueClient
from worker.local.stack import LocalStack, running
from worker.retag.starting import progress_of, start_run

PHOTOS = 64
WARM_UP = 20
TURNS = 5
ALONE_S = 6.0
POLL_S = 0.004
PAUSE_S = (0.02, 0.3)  # between two singles, so that none meets the timer of the one before
TIMEOUT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class RetagFigures:
    """Seconds from enqueue to commit of single ingest jobs; the run's items a second, by turn,
    without them and beside them.
    """

    database: str
    ledger_products: int
    singles: int
    ingest_p50_idle_s: float
    ingest_p95_idle_s: float
    ingest_p50_under_bulk_s: float
    ingest_p95_under_bulk_s: float
    ingest_p95_under_bulk_over_idle: float
    bulk_items_per_s_alone: Sequence[float]
    bulk_items_per_s_beside: Sequence[float]
    bulk_beside_over_alone: float
    bulk_items_left: int
    bulk_messages_waiting_max: int

    def as_json(self) -> str:
        return json.dumps(asdict(self))


def measure_all(rows: int, singles: int, only: str | None = None) -> Iterator[RetagFigures]:
    """On SQLite, then on PostgreSQL (the test extra)."""
    if only in (None, "sqlite"):
        yield measure(rows, singles)
    if only in (None, "postgresql"):
        from lab.faults.databases import PostgresServer  # the test extra

        server = PostgresServer()
        try:
            yield measure(rows, singles, server.database("retag").url)
        finally:
            server.close()


def measure(rows: int, singles: int, database_url: str | None = None) -> RetagFigures:
    """Time `singles` jobs on an idle system, and as many under a run over `rows` products.

    Raises:
        RuntimeError: the run stopped, or came to its end: it takes more products.
    """
    with tempfile.TemporaryDirectory(prefix="tagger-bench-") as folder:
        home = Path(folder)
        photos = generate_photos(home / "photos", PHOTOS)
        chosen = read_settings(
            home=home,
            allowed_roots=(home,),
            database_url=database_url,
            redis_url=None,
            # Made-up labels: nearly all of them change, and the run would pause itself.
            retag_change_share_max=1.0,
        )
        engine = make_engine(chosen.database)
        migrate.upgrade(engine)
        fill(engine, rows, files=[photo.image_uri for photo in photos])
        with running(chosen) as system:
            figures = _Measuring(system, engine, photos).measure(singles)
        engine.dispose()
    return figures


class _Measuring:
    """A running system, and what is sent to it."""

    def __init__(self, system: LocalStack, engine: Engine, photos: Sequence[Job]) -> None:
        self._system, self._engine, self._photos = system, engine, photos
        self._client = EnqueueClient(engine, broker_url=system.settings.redis_url)
        self._run_id = 0
        self._waiting_max = 0

    def measure(self, singles: int) -> RetagFigures:
        self._latencies("warm", WARM_UP)
        idle = self._latencies("idle", singles)
        self._run_id = start_run(
            self._engine, self._system.settings, Selection(older_model=True), "bench"
        )
        _wait_until_busy(self._system, self._engine, self._run_id)
        alone, beside, busy = [], [], []
        for turn in range(TURNS):
            alone.append(self._pace(lambda: time.sleep(ALONE_S)))
            share = singles // TURNS + (turn < singles % TURNS)
            beside.append(
                self._pace(lambda: busy.extend(self._latencies(f"busy-{turn}", share)))  # noqa: B023
            )
        after = progress_of(self._engine, self._run_id)
        return RetagFigures(
            database=self._engine.dialect.name,
            ledger_products=after.products,
            singles=singles,
            ingest_p50_idle_s=statistics.median(idle),
            ingest_p95_idle_s=_p95(idle),
            ingest_p50_under_bulk_s=statistics.median(busy),
            ingest_p95_under_bulk_s=_p95(busy),
            ingest_p95_under_bulk_over_idle=_p95(busy) / _p95(idle),
            bulk_items_per_s_alone=alone,
            bulk_items_per_s_beside=beside,
            bulk_beside_over_alone=statistics.median(beside) / statistics.median(alone),
            bulk_items_left=after.expected - after.counts.done,
            bulk_messages_waiting_max=self._waiting_max,
        )

    def _pace(self, meanwhile: Callable[[], None]) -> float:
        """The run's items a second."""
        before, started = progress_of(self._engine, self._run_id), time.perf_counter()
        meanwhile()
        found, seconds = progress_of(self._engine, self._run_id), time.perf_counter() - started
        require_going_on(found)
        size = self._system.settings.chunk_size
        waiting = found.counts.chunks - found.counts.done // size
        self._waiting_max = max(self._waiting_max, waiting)
        return (found.counts.done - before.counts.done) / seconds

    def _latencies(self, name: str, count: int) -> list[float]:
        return list(_latencies(self._system, self._engine, self._client, self._photos, name, count))


def require_going_on(found: Progress) -> None:
    """Raise RuntimeError where a run's pace would mean nothing: it paused, or has published all."""
    if found.state is not RunState.RUNNING or found.looked >= found.products:
        raise RuntimeError(
            f"expected a run that goes on, found it {found.state}: "
            f"{found.last_error or 'take more products'}"
        )


def _latencies(
    system: LocalStack,
    engine: Engine,
    client: EnqueueClient,
    photos: Sequence[Job],
    name: str,
    count: int,
) -> Iterator[float]:
    """Seconds from before each job's enqueueing until its outcome is committed."""
    rng = random.Random(0)  # noqa: S311 - pauses, no secrets
    for number in range(count):
        time.sleep(rng.uniform(*PAUSE_S))
        fields = {"product_id": f"single-{name}-{number:05d}"}
        job = photos[number % len(photos)].model_copy(update=fields)
        started = time.perf_counter()
        client.enqueue(job)
        while not _done(engine, job.product_id):
            if time.perf_counter() - started > TIMEOUT_S:
                system.require_alive()
                raise RuntimeError(f"expected an outcome of {job.product_id}, found none")
            time.sleep(POLL_S)
        yield time.perf_counter() - started


def _done(engine: Engine, product_id: str) -> bool:
    with reading(engine)() as session:
        return _status(session, product_id) not in (*UNFINISHED, None)


def _status(session: Session, product_id: str) -> str | None:
    return session.scalar(select(Product.status).where(Product.id == product_id))


def _wait_until_busy(system: LocalStack, engine: Engine, run_id: int) -> None:
    """Until the upkeep process has filled the queue and the bulk worker is well at work."""
    deadline = time.monotonic() + TIMEOUT_S
    while progress_of(engine, run_id).counts.done < 3 * system.settings.chunk_size:
        system.require_alive()
        if time.monotonic() > deadline:
            tail = "\n".join(system.log(BULK_QUEUE).read_text().splitlines()[-10:])
            raise RuntimeError(f"expected the run to go on, found it standing still:\n{tail}")
        time.sleep(0.1)


def _p95(seconds: Sequence[float]) -> float:
    return statistics.quantiles(seconds, n=20, method="inclusive")[-1]


def render(figures: RetagFigures) -> str:
    """The figures for people."""
    return (
        f"{figures.database}. A single ingest job, from enqueue to commit "
        f"({figures.singles} each):\n"
        f"  idle        p50 {figures.ingest_p50_idle_s:.3f} s, "
        f"p95 {figures.ingest_p95_idle_s:.3f} s\n"
        f"  under bulk  p50 {figures.ingest_p50_under_bulk_s:.3f} s, "
        f"p95 {figures.ingest_p95_under_bulk_s:.3f} s: "
        f"{figures.ingest_p95_under_bulk_over_idle:.2f} times the idle p95\n"
        f"The run over {figures.ledger_products} products, items a second in {TURNS} turns:\n"
        f"  alone       {_spread(figures.bulk_items_per_s_alone)}\n"
        f"  beside them {_spread(figures.bulk_items_per_s_beside)}: "
        f"{figures.bulk_beside_over_alone:.2f} of the pace alone\n"
        f"It was never more than about {figures.bulk_messages_waiting_max} messages ahead of its "
        "outcomes"
    )


def _spread(values: Sequence[float]) -> str:
    return f"median {statistics.median(values):.0f} ({min(values):.0f} to {max(values):.0f})"
