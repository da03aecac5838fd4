"""How fast many jobs in one request are accepted: the desk's own process, a real database."""

import gzip
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import httpx

from catalog.settings import Settings, read_settings
from db import migrate
from db.engine import make_engine, sessions
from db.services import tokens
from db.services.models import Scope
from lab.faults.databases import PostgresServer
from lab.review import serving

GOAL_S = 1.5
GOAL_JOBS = 10_000
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True)
class AcceptedFigures:
    """One request after the other, each of new products, gzipped; the first is the desk's warm-up.

    seconds: from the request's first byte to the answer's last. desk_cpu_s and database_cpu_s: of
    the desk's process and of PostgreSQL's (none on SQLite, which works in the desk's).
    """

    database: str
    jobs: int
    bytes_sent: int
    seconds: list[float]
    desk_cpu_s: list[float]
    database_cpu_s: list[float]

    def as_json(self) -> str:
        return json.dumps(asdict(self))


def measure(jobs: int, rounds: int, database: str) -> AcceptedFigures:
    """Hand in `jobs` new products in one request, `rounds` times."""
    with (
        tempfile.TemporaryDirectory(prefix="tagger-jobs-") as folder,
        _database(database) as (
            url,
            postmaster,
        ),
    ):
        home = Path(folder)
        chosen = read_settings(
            home=home, review_port=0, database_url=url or f"sqlite:///{home / 'catalog.db'}"
        )
        headers = _prepared(chosen)
        with (
            serving(chosen) as desk,
            httpx.Client(base_url=desk.url, timeout=300, headers=headers) as client,
        ):
            _hand_in(client, 0, 1)
            return _measure(client, jobs, rounds, desk.process_id, postmaster, database)


def render(figures: AcceptedFigures) -> str:
    """The figures for people."""
    seconds, cpu_s = median(figures.seconds), median(figures.desk_cpu_s)
    database_cpu_s = median(figures.database_cpu_s)
    lines = [
        f"{figures.jobs:,} jobs in one request on {figures.database}: accepted in {seconds:.2f} s "
        f"(median of {len(figures.seconds)})",
        f"  CPU of the desk      {cpu_s:.2f} s",
        f"  CPU of the database  {database_cpu_s:.2f} s" if figures.database != "sqlite" else "",
        f"  Body                 {figures.bytes_sent / 1e6:.2f} MB, gzip",
    ]
    if figures.jobs == GOAL_JOBS:
        lines.append(f"  Goal                 {GOAL_S} s")
    return "\n".join(filter(None, lines))


def _measure(
    client: httpx.Client, jobs: int, rounds: int, desk: int, postmaster: int | None, database: str
) -> AcceptedFigures:
    seconds, desk_cpu_s, database_cpu_s, sent = [], [], [], 0
    for number in range(1, rounds + 1):
        before = _cpu_s([desk]), _cpu_s(_children(postmaster))
        started = time.perf_counter()
        sent = _hand_in(client, number, jobs)
        seconds.append(round(time.perf_counter() - started, 3))
        desk_cpu_s.append(round(_cpu_s([desk]) - before[0], 2))
        database_cpu_s.append(round(_cpu_s(_children(postmaster)) - before[1], 2))
    return AcceptedFigures(
        database=database,
        jobs=jobs,
        bytes_sent=sent,
        seconds=seconds,
        desk_cpu_s=desk_cpu_s,
        database_cpu_s=database_cpu_s,
    )


def _hand_in(client: httpx.Client, number: int, jobs: int) -> int:
    """One request; its bytes."""
    body = gzip.compress(json.dumps([_job(f"{number}-{each}") for each in range(jobs)]).encode())
    answer = client.post("/api/v1/jobs", content=body)
    answer.raise_for_status()
    assert answer.json()["accepted"] == jobs, answer.text
    return len(body)


def _job(name: str) -> dict[str, str]:
    return {
        "product_id": f"sku-{name}",
        "image_uri": f"https://images.example.com/catalog/2026/{name}/front.jpg?w=1200",
        "declared_label": "T-Shirts",
    }


def _prepared(chosen: Settings) -> dict[str, str]:
    """The headers of a service, in a database on the newest schema."""
    engine, now = make_engine(chosen.database), datetime.now(UTC)
    migrate.upgrade(engine)
    with sessions(engine).begin() as session:
        token = tokens.issue(session, tokens.add(session, "bench", list(Scope), now), now)
    engine.dispose()
    return {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "Content-Encoding": "gzip",
    }


@contextmanager
def _database(kind: str) -> Iterator[tuple[str | None, int | None]]:
    """The URL of an empty database and its server's first process; neither for SQLite."""
    if kind == "sqlite":
        yield None, None
        return
    server = PostgresServer()
    try:
        yield server.database("jobs").url, server.process_id
    finally:
        server.close()


def _children(parent: int | None) -> list[int]:
    if parent is None:
        return []
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii")
    return [int(each) for each in listed.split()]


def _cpu_s(processes: list[int]) -> float:
    """Seconds of CPU that these processes have used."""
    ticks = 0
    for each in processes:
        try:
            stat = Path(f"/proc/{each}/stat").read_text(encoding="utf-8")
        except FileNotFoundError:
            continue  # it ended since it was listed
        ticks += sum(map(int, stat.rpartition(")")[2].split()[11:13]))
    return ticks / TICKS_PER_S
