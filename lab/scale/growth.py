"""What grows with the ledger and what must not: pace, status, the desk's next item, planning a run.

A made-up ledger of each size, and on it the real system: the same photos in chunks, `tagger status`
as a person calls it, a reviewer who takes one item after the other, a run planned and its first
chunk accepted.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from catalog.settings import Settings, environment, read_settings
from db import migrate
from db.engine import make_engine, reading, sessions
from db.ledger.summary import summarise
from db.ledger.vitals import vitals
from db.retag import pages as retag_pages
from db.retag import runs as retag_runs
from db.retag.selection import Selection, condition
from db.review import leases, reviewers
from db.review import queue as review_queue
from db.review.models import Reviewer, Role
from lab.faults.databases import PostgresServer
from lab.pipeline.photos import jobs_of, photo_files
from lab.pipeline.running import benched
from lab.scale.synthetic import FORMER, analyse, fill

DISTINCT_PHOTOS = 128
TIMES = 20
STATUS_TIMES = 5
CHUNK = 128


@dataclass(frozen=True, kw_only=True)
class Growth:
    """One ledger. items_per_s, cpu_ms: of chunks, by number of bulk children; cpu_ms: of all
    processes but the upkeep, for each item. status_ms: its queries; status_command_s: the whole
    command. next_item_ms, next_item_ms_max: a claim of one item, `waiting` of them in the queue.
    plan_ms: a run written down, its first chunk found and accepted.
    """

    database: str
    products: int
    fill_s: float
    status_ms: float
    status_command_s: float
    waiting: int
    next_item_ms: float
    next_item_ms_max: float
    plan_ms: float
    items_per_s: Mapping[int, float]
    cpu_ms: Mapping[int, float]

    def as_json(self) -> str:
        return json.dumps(asdict(self))


def measure(
    sizes: Sequence[int], children: Sequence[int], images: int, only: str | None = None
) -> Iterator[Growth]:
    """Every size on SQLite, then on PostgreSQL (the test extra)."""
    for size in sizes if only in (None, "sqlite") else ():
        yield _measure(None, size, children, images)
    if only not in (None, "postgresql"):
        return
    server = PostgresServer()
    try:
        for size in sizes:
            url = server.database(f"growth{size}").url
            yield _measure(url, size, children, images, server.process_id)
    finally:
        server.close()


def _measure(
    url: str | None, size: int, children: Sequence[int], images: int, server_pid: int | None = None
) -> Growth:
    with tempfile.TemporaryDirectory(prefix="tagger-growth-") as folder:
        home = Path(folder)
        url = url or f"sqlite:///{home / 'catalog.db'}"
        files = photo_files(home, None, DISTINCT_PHOTOS)
        engine = make_engine(url)
        migrate.upgrade(engine)
        started = time.perf_counter()
        fill(engine, size)
        with sessions(engine).begin() as session:
            waiting = review_queue.fill(session)
        analyse(engine)  # as autovacuum has, a minute later
        fill_s = time.perf_counter() - started
        claims_ms = list(_claims_ms(engine))
        plan_ms = _ms(lambda: _plan(engine), 1)
        with reading(engine)() as session:
            status_ms = _ms(lambda: _look(session), STATUS_TIMES)
        chosen = read_settings(
            home=home / "system", database_url=url, redis_url=None, allowed_roots=(home,)
        )
        items_per_s, cpu_ms, status_s = {}, {}, 0.0
        for number in children:
            mine = chosen.model_copy(
                update={"home": home / f"with-{number}", "bulk_processes": number}
            )
            with benched(mine, server_pid=server_pid) as bench:
                bench.run("warm", "chunks", jobs_of(files, f"warm-{number}", 2 * CHUNK * number))
                run = bench.run("growth", "chunks", jobs_of(files, f"item-{number}", images))
                items_per_s[number] = run.images_per_second
                # The upkeep starts two seconds after the workers, in the middle of a short run.
                cpu_ms[number] = sum(run.cpu_ms.values()) - run.cpu_ms["upkeep"]
                status_s = _status_command_s(bench.system.settings)
        engine.dispose()
    return Growth(
        database=engine.dialect.name,
        products=size,
        fill_s=fill_s,
        status_ms=status_ms,
        status_command_s=status_s,
        waiting=waiting,
        next_item_ms=median(claims_ms),
        next_item_ms_max=max(claims_ms),
        plan_ms=plan_ms,
        items_per_s=items_per_s,
        cpu_ms=cpu_ms,
    )


def _look(session: Session) -> None:
    summarise(session)
    vitals(session, datetime.now(UTC))


def _claims_ms(engine: Engine) -> Iterator[float]:
    """Reviewers who take one item each: every claim passes over those that are taken."""
    with sessions(engine).begin() as session:
        now = datetime.now(UTC)
        ids = [
            reviewers.add(session, f"Reviewer {number}", Role.REVIEWER, now).id
            for number in range(TIMES)
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


def _status_command_s(chosen: Settings) -> float:
    command = [sys.executable, "-c", "from catalog.cli import main; main()", "status"]
    return _ms(
        lambda: subprocess.run(
            command, env=os.environ | environment(chosen), check=True, stdout=subprocess.DEVNULL
        ),
        STATUS_TIMES,
    ) / 1000  # fmt: skip


def _ms(work: Callable[[], Any], times: int) -> float:
    took = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        took.append(1000 * (time.perf_counter() - started))
    return median(took)


def render(found: Growth) -> str:
    """A row as Markdown, under `HEAD`."""
    paces = ", ".join(f"{number}: {pace:.0f}" for number, pace in found.items_per_s.items())
    spent = ", ".join(f"{number}: {ms:.2f}" for number, ms in found.cpu_ms.items())
    return (
        f"| {found.database} | {found.products:,} | {paces} | {spent} "
        f"| {found.status_ms:.0f} ms, {found.status_command_s:.2f} s "
        f"| {found.next_item_ms:.1f} ms ({found.next_item_ms_max:.1f}) of {found.waiting:,} "
        f"| {found.plan_ms:.0f} ms | {found.fill_s:.0f} s |"
    )


HEAD = (
    "| database | products | items a second by bulk children | CPU ms an item | status: queries, "
    "command | next item (most) | a run planned | filled in |\n|---|---|---|---|---|---|---|---|"
)
