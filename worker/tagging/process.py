"""What each worker process makes for itself, after the fork, at its first batch."""

import socket
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import cv2
from sqlalchemy import Engine

from catalog.acceptance import AuditShares
from catalog.fetching.fetcher import Fetcher, FetchLimits
from catalog.fetching.room import ByteRoom
from catalog.images.decode import DecodeLimits
from catalog.images.memory import give_large_blocks_back
from catalog.queues import BULK_QUEUE, INGEST_QUEUE
from catalog.settings import Settings, settings
from db.engine import PATIENCE_S, make_engine
from worker.local.processes import give_way
from worker.tagging.batch_runner import BatchMetrics, BatchRunner
from worker.tagging.fetch_ahead import FetchAhead
from worker.tagging.looking import Looker
from worker.tagging.model_keeper import ModelKeeper
from worker.tagging.pulse import HEARTBEAT_S, Pulse
from worker.tagging.retries import FetchPatience, RetryPolicy
from worker.tagging.stages import StageClock
from worker.tagging.store import Store
from worker.tagging.tagger import Tagger
from worker.watch.metrics import WorkerMetrics

# SQLite has one writer: a new product must not wait while a whole chunk is written, by a process
# of low priority at that.
BULK_TOGETHER = 16


@lru_cache(maxsize=1)
def batch_runner(queue: str) -> BatchRunner:
    """This process's own; the parent of a prefork worker never calls it."""
    return make_batch_runner(settings(), queue)


def make_batch_runner(
    chosen: Settings,
    queue: str = INGEST_QUEUE,
    *,
    engine: Engine | None = None,
    metrics: BatchMetrics | None = None,
    heartbeat_s: float = HEARTBEAT_S,
) -> BatchRunner:
    """Everything that a process of this queue works with.

    Raises:
        BundleError: not even the settings' bundle can be used.
        StoreUnavailableError: the registry cannot be read.
    """
    engine = engine or make_engine(chosen.database, patience_s=patience_s(chosen))
    name = f"{queue}@{socket.gethostname()}"[:128]
    clock = StageClock()
    fetcher = make_fetcher(chosen)
    ahead = make_ahead(chosen, fetcher)
    threads = _decoding_threads(chosen, gives_way=queue == BULK_QUEUE)
    return BatchRunner(
        queue=queue,
        models=ModelKeeper(chosen, engine, name),
        pulse=Pulse(name, queue, heartbeat_s),
        tagger=make_tagger(chosen, ahead, clock, threads),
        store=Store(
            engine,
            RetryPolicy.of(chosen),
            attempt_s_max=chosen.attempt_s_max,
            flag_changes_from=chosen.retag_flag_confidence,
            together_max=BULK_TOGETHER if _shares_a_writer(engine, queue) else None,
        ),
        threads=threads,
        fetcher=fetcher,
        ahead=ahead,
        fetch_budget_s=fetch_budget_s(chosen),
        patience=FetchPatience.of(chosen),
        audit=AuditShares(usual=chosen.audit_share, cautious=chosen.cautious_audit_share),
        metrics=metrics or WorkerMetrics(chosen, queue),
        clock=clock,
    )


def make_tagger(
    chosen: Settings,
    ahead: FetchAhead,
    clock: StageClock,
    threads: ThreadPoolExecutor | None = None,
) -> Tagger:
    """A tagger; with its own decoding threads, where none are given."""
    # The threads are the only parallelism: OpenCV's own would fight with them.
    cv2.setNumThreads(1)
    give_large_blocks_back()
    threads = threads or _decoding_threads(chosen, gives_way=False)
    looker = Looker(
        ahead=ahead,
        threads=threads,
        limits=DecodeLimits.of(chosen),
        thumbnail_size_px=chosen.thumbnail_size_px,
        clock=clock,
    )
    return Tagger(looker=looker, threads=threads, clock=clock)


def make_fetcher(chosen: Settings) -> Fetcher:
    """A fetcher for one process; it opens and connects nothing yet."""
    return Fetcher(FetchLimits.of(chosen), chosen.allowed_roots)


def make_ahead(chosen: Settings, fetcher: Fetcher) -> FetchAhead:
    """The threads that fetch for one process, and the memory that they may fill."""
    return FetchAhead(fetcher.slots, ByteRoom(chosen.fetched_bytes_max, chosen.image_bytes_max))


def patience_s(chosen: Settings) -> float:
    """How long one statement waits: begin, store and take back must fit in a batch's time."""
    return min(PATIENCE_S, chosen.batch_time_limit_s / 4)


def fetch_budget_s(chosen: Settings) -> float:
    """How long a batch may go on starting fetches: the last one, and the commits, must still fit.

    A quarter of the time limit at least, so that a limit that is too low for the fetch timeout
    still lets some pictures through; start-up refuses such a limit.
    """
    limit_s = chosen.batch_time_limit_s
    return max(limit_s / 4, limit_s / 2 - chosen.fetch_timeout_s)


def _decoding_threads(chosen: Settings, *, gives_way: bool) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(
        chosen.decode_threads,
        thread_name_prefix="decode",
        initializer=give_way if gives_way else None,
    )


def _shares_a_writer(engine: Engine, queue: str) -> bool:
    return queue == BULK_QUEUE and engine.dialect.name == "sqlite"
