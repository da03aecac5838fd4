"""How long an event is on its way to a receiver of webhooks, on a system that has nothing to do."""

import json
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from catalog.events import EventKind
from catalog.settings import read_settings
from db import migrate
from db.engine import make_engine, sessions
from db.events.writing import NewEvent, write
from db.webhooks import registering
from lab.faults.databases import Database, PostgresServer, SqliteDatabase
from worker.local.embedded import EmbeddedBroker
from worker.local.processes import stop
from worker.local.stack import LocalStack

PAUSE_S = 0.37  # between two events: no multiple of the pace at which the outbox is looked at
TIMEOUT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Seconds from an event's commit to its arrival."""

    database: str
    events: int
    median_s: float
    p95_s: float
    longest_s: float

    def as_json(self) -> str:
        return json.dumps(asdict(self))


def measure(events: int, only: str | None = None) -> Iterator[Latency]:
    """One event after another, through a real upkeep process, on both databases."""
    with ExitStack() as stack:
        if only != "postgresql":
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            yield _measured("sqlite", SqliteDatabase(folder), events)
        if only != "sqlite":
            server = PostgresServer()
            stack.callback(server.close)
            yield _measured("postgresql", server.database("bench_webhooks"), events)


def render(found: Latency) -> str:
    return (
        f"{found.database:<10}  {found.events} events: median {1000 * found.median_s:.0f} ms, "
        f"95 % within {1000 * found.p95_s:.0f} ms, longest {1000 * found.longest_s:.0f} ms"
    )


def _measured(name: str, database: Database, events: int) -> Latency:
    engine = make_engine(database.url)
    migrate.upgrade(engine)
    try:
        with _receiving() as (url, arrivals), _upkeep(database):
            with sessions(engine).begin() as session:
                registering.add(session, url, [], datetime.now(UTC))
            _wait_s(engine, arrivals)  # until the upkeep has started
            waits = []
            for _ in range(events):
                time.sleep(PAUSE_S)
                waits.append(_wait_s(engine, arrivals))
    finally:
        engine.dispose()
        database.close()
    return Latency(
        database=name,
        events=events,
        median_s=statistics.median(waits),
        p95_s=statistics.quantiles(waits, n=20, method="inclusive")[-1],
        longest_s=max(waits),
    )


def _wait_s(engine: Engine, arrivals: list[float]) -> float:
    known = len(arrivals)
    with sessions(engine).begin() as session:
        event = NewEvent(kind=EventKind.TAGGED, product_id="p", payload={"label": "bag"})
        write(session, [event], datetime.now(UTC))
    began = time.monotonic()
    while len(arrivals) == known:
        if time.monotonic() - began > TIMEOUT_S:
            raise TimeoutError(f"Expected the event within {TIMEOUT_S:g} s, found none.")
        time.sleep(0.001)
    return arrivals[-1] - began


@contextmanager
def _upkeep(database: Database) -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder:
        broker = EmbeddedBroker(Path(folder) / "queue")
        home = Path(folder) / "home"
        home.mkdir()
        chosen = read_settings(
            home=home,
            database_url=database.url,
            redis_url=broker.url,
            allowed_networks=("127.0.0.0/8",),
            allowed_ports=("1-65535",),
        )
        system = LocalStack(chosen)
        system.start_workers(())
        try:
            yield
        finally:
            stop(list(system.workers.values()), grace_s=30)
            broker.stop()


@contextmanager
def _receiving() -> Iterator[tuple[str, list[float]]]:
    arrivals: list[float] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            arrivals.append(time.monotonic())
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", arrivals
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
