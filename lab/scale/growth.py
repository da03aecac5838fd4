"""What grows with the ledger and what must not: pace, status, the desk's next item, planning a run.

A made-up ledger of each size, and on it the real system: the same photos in chunks, `tagger status`
as a person calls it, a reviewer who takes one item after the other, a run planned and its first
chunk accepted. The paces are measured in turns over all sizes, every second one backwards, so that
a bad minute of the machine meets no size alone.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from catalog.settings import Settings, environment, read_settings
from db import migrate
from db.engine import make_engine, reading, sessions
from db.ledger.summary import summarise
from db.ledger.vitals import vitals
from db.retag import pages as retag_pages
from db.retag import runs as retag_runs
from db.retag.conditions import condition
from db.retag.selection import Selection
from db.review import leases, reviewers
from db.review.models import Reviewer, ReviewItem, Role
from lab.pipeline.photos import jobs_of, photo_files
from lab.pipeline.running import Run, benched
from lab.scale.ledgers import Ledger, ledgers
from lab.scale.measuring import bytes_per_row
from lab.scale.synthetic import FORMER
from worker.local.embedded import EmbeddedBroker

DISTINCT_PHOTOS = 128
TIMES = 20
STATUS_TIMES = 5
STATUS_COMMANDS = 11
CHUNK = 128


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured. children: numbers of bulk children. images: of each run."""

    sizes: Sequence[int] = (100_000, 1_000_000)
    children: Sequence[int] = (1, 2, 4)
    images: int = 1024
    turns: int = 3
    databases: Sequence[str] = ("sqlite", "postgresql")
    folder: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Looks:
    """What is asked of a ledger. status_ms: its queries; status_command_s: the whole command, time
    after time.
    next_item_ms, next_item_ms_max: a claim of one item, `waiting` of them in the queue. plan_ms: a
    run written down, its first chunk found and accepted.
    """

    status_ms: float
    status_command_s: Sequence[float]
    waiting: int
    next_item_ms: float
    next_item_ms_max: float
    plan_ms: float


@dataclass(frozen=True, kw_only=True)
class Growth:
    """One ledger. items_per_s, cpu_ms: of chunks, by number of bulk children, a figure for each
    turn; cpu_ms: of all processes but the upkeep, for each item. strangers_cores: what other
    programs took at most. bytes_each: of a product, a tagging and the thumbnail of a photo, with
    their indexes.
    """

    database: str
    products: int
    fill_s: float | None
    looks: Looks
    bytes_each: Mapping[str, float] = field(default_factory=dict)
    items_per_s: Mapping[int, Sequence[float]] = field(default_factory=dict)
    cpu_ms: Mapping[int, Sequence[float]] = field(default_factory=dict)
    strangers_cores: float = 0.0

    def as_json(self) -> str:
        return json.dumps(asdict(self))


def measure(plan: Plan) -> Iterator[Growth]:
    """Every size, on each database."""
    for database in plan.databases:
        with (
            ledgers(plan.sizes, database, plan.folder) as found,
            tempfile.TemporaryDirectory(prefix="tagger-growth-") as scratch,
        ):
            home = Path(scratch)
            migrated(found)
            looks = [_looks(ledger, home) for ledger in found]
            runs = _turns(plan, found, home)
            for ledger, looked in zip(found, looks, strict=True):
                yield _growth(database, ledger, looked, runs[ledger.products])


def migrated(found: Sequence[Ledger]) -> None:
    """Bring ledgers that an earlier version filled to the newest schema."""
    for ledger in found:
        engine = make_engine(ledger.url)
        migrate.upgrade(engine)
        engine.dispose()


def _looks(ledger: Ledger, home: Path) -> Looks:
    engine = make_engine(ledger.url)
    claims_ms = list(_claims_ms(engine))
    with reading(engine)() as session:
        waiting = session.scalar(select(func.count()).select_from(ReviewItem)) or 0
        status_ms = _ms(lambda: _look(session), STATUS_TIMES)
    plan_ms = _ms(lambda: _plan(engine), 1)
    engine.dispose()
    return Looks(
        status_ms=status_ms,
        status_command_s=_status_command_s(_settings(ledger, home)),
        waiting=waiting,
        next_item_ms=median(claims_ms),
        next_item_ms_max=max(claims_ms),
        plan_ms=plan_ms,
    )


def _turns(plan: Plan, found: Sequence[Ledger], home: Path) -> Mapping[int, list[tuple[int, Run]]]:
    """The runs of each size, each with its number of children."""
    files = photo_files(home, None, DISTINCT_PHOTOS)
    pairs = [(ledger, number) for ledger in found for number in plan.children]
    runs: dict[int, list[tuple[int, Run]]] = defaultdict(list)
    for turn in range(plan.turns):
        for ledger, number in reversed(pairs) if turn % 2 else pairs:
            run = _run(ledger, number, files, plan.images, home)
            runs[ledger.products].append((number, run))
    return runs


def _run(ledger: Ledger, number: int, files: Sequence[Path], images: int, home: Path) -> Run:
    own = uuid4().hex[:8]  # a kept ledger knows the products of earlier runs
    chosen = _settings(ledger, home).model_copy(
        update={"home": home / own, "bulk_processes": number}
    )
    with benched(chosen, server_pid=ledger.server_pid) as bench:
        bench.run("warm", "chunks", jobs_of(files, f"warm-{own}", 2 * CHUNK * number))
        return bench.run("growth", "chunks", jobs_of(files, f"item-{own}", images))


def _settings(ledger: Ledger, home: Path) -> Settings:
    return read_settings(
        home=home / "system", database_url=ledger.url, redis_url=None, allowed_roots=(home,)
    )


def _growth(
    database: str, ledger: Ledger, looked: Looks, runs: Sequence[tuple[int, Run]]
) -> Growth:
    items_per_s: dict[int, list[float]] = defaultdict(list)
    cpu_ms: dict[int, list[float]] = defaultdict(list)
    for number, run in runs:
        items_per_s[number].append(run.images_per_second)
        # The upkeep starts two seconds after the workers, in the middle of a short run.
        cpu_ms[number].append(sum(run.cpu_ms.values()) - run.cpu_ms["upkeep"])
    engine = make_engine(ledger.url)
    tables, indexes = bytes_per_row(engine)
    engine.dispose()
    return Growth(
        database=database,
        products=ledger.products,
        fill_s=ledger.fill_s,
        looks=looked,
        bytes_each={table: tables[table] + indexes[table] for table in tables},
        items_per_s=dict(items_per_s),
        cpu_ms=dict(cpu_ms),
        strangers_cores=max((run.strangers_cores for _, run in runs), default=0.0),
    )


def _look(session: Session) -> None:
    vitals(session, datetime.now(UTC), summarise(session).oldest_queued_at)


def _claims_ms(engine: Engine) -> Iterator[float]:
    """Reviewers who take one item each: every claim passes over those that are taken."""
    with sessions(engine).begin() as session:
        now = datetime.now(UTC)
        ids = [
            reviewers.add(session, f"Reviewer {uuid4().hex}", Role.REVIEWER, now).id
            for _ in range(TIMES)
        ]
    for each in ids:
        started = time.perf_counter()
        with sessions(engine).begin() as session:
            reviewer = session.get_one(Reviewer, each)
            if not leases.claim(session, reviewer, datetime.now(UTC), limit=1):
                raise RuntimeError("expected an item for every reviewer, found the queue empty")
        yield 1000 * (time.perf_counter() - started)


def _plan(engine: Engine) -> None:
    """As `tagger retag start` and the first step of the publisher."""
    selection, now = Selection(older_model=True), datetime.now(UTC)
    with sessions(engine).begin() as session:
        run = retag_runs.plan(session, selection, now, model_version="newer", who="bench")
        session.flush()
        run_id = run.id
    wanted = condition(selection, model_version="newer", as_of=now)
    with reading(engine)() as session:
        page = retag_pages.next_page(session, "", wanted, limit=CHUNK)
    with sessions(engine)() as session:  # taken back at its end
        taken = retag_pages.take(session, run_id, "bench", "", page, wanted, now)
        if len(taken.jobs) != CHUNK:
            raise RuntimeError(f"expected a chunk of products of {FORMER}, found {len(taken.jobs)}")
    with sessions(engine).begin() as session:
        session.delete(retag_runs.find(session, run_id))


def _status_command_s(chosen: Settings) -> Sequence[float]:
    command = [sys.executable, "-c", "from catalog.cli import run; run()", "status"]
    broker = EmbeddedBroker(chosen.queue_folder)
    chosen = chosen.model_copy(update={"redis_url": broker.url})
    try:
        took = _each_ms(
            lambda: subprocess.run(
                command, env=os.environ | environment(chosen), check=True, stdout=subprocess.DEVNULL
            ),
            STATUS_COMMANDS + 1,
        )
        return [each / 1000 for each in took[1:]]  # the first may have to compile
    finally:
        broker.stop()


def _ms(work: Callable[[], Any], times: int) -> float:
    return median(_each_ms(work, times))


def _each_ms(work: Callable[[], Any], times: int) -> list[float]:
    took = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        took.append(1000 * (time.perf_counter() - started))
    return took


def render(found: Growth) -> str:
    """A row as Markdown, under `HEAD`."""
    looks = found.looks
    paces = ", ".join(f"{number}: {_spread(each)}" for number, each in found.items_per_s.items())
    spent = ", ".join(f"{number}: {median(each):.2f}" for number, each in found.cpu_ms.items())
    sizes = ", ".join(f"{each:.0f}" for each in found.bytes_each.values())
    filled = "kept" if found.fill_s is None else f"{found.fill_s:.0f} s"
    return (
        f"| {found.database} | {found.products:,} | {paces} | {found.strangers_cores:.2f} "
        f"| {spent} | {looks.status_ms:.0f} ms, {_spread(looks.status_command_s, 2)} s "
        f"| {looks.next_item_ms:.1f} ms ({looks.next_item_ms_max:.1f}) of {looks.waiting:,} "
        f"| {looks.plan_ms:.0f} ms | {sizes} | {filled} |"
    )


def _spread(values: Sequence[float], digits: int = 0) -> str:
    middle, least, most = median(values), min(values), max(values)
    return f"{middle:.{digits}f} ({least:.{digits}f} to {most:.{digits}f})"


HEAD = (
    "| database | products | items a second by bulk children | others' cores | CPU ms an item "
    "| status: queries, command | next item (most) | a run planned "
    "| bytes of a product, a tagging, a thumbnail | filled in |\n|" + "---|" * 10
)
