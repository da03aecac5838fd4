"""The fault table: stage every fault on both databases, and count."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from lab.faults import brokers, deliveries, pressures, processes, senders, stores
from lab.faults.cases import Case, Scale
from lab.faults.databases import Database, PostgresServer, SqliteDatabase
from lab.faults.test_rig import Tally, staged

CASES: Sequence[Case] = [
    *processes.CASES,
    *brokers.CASES,
    *stores.CASES,
    *deliveries.CASES,
    *pressures.CASES,
    *senders.CASES,
]
FULL = Scale(items=400, outage_s=60.0)
SHORT = Scale(items=80, outage_s=4.0)
TIMEOUT_S = 240.0


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the table; wrong: outcomes other than the ones that had to win."""

    case: str
    database: str
    tally: Tally
    recovered_s: float
    wrong: int
    must_fail: int
    note: str

    @property
    def survived(self) -> bool:
        as_expected = self.tally.failed == self.must_fail and not self.wrong
        return as_expected and not self.tally.lost and not self.tally.doubled


def run(
    scale: Scale, *, only: str = "", databases: Sequence[str] = ("SQLite", "PostgreSQL")
) -> Iterator[Line]:
    """Play the cases whose name contains `only`."""
    with ExitStack() as stack:
        server: list[PostgresServer] = []

        def postgres(name: str) -> Database:
            if not server:
                server.append(PostgresServer())
                stack.callback(server[0].close)
            return server[0].database(name)

        for number, case in enumerate(CASES):
            for kind in databases:
                if kind in case.databases and only.lower() in case.name.lower():
                    yield play(case, kind, f"fault_{number}", scale, postgres)


def play(
    case: Case, kind: str, name: str, scale: Scale, postgres: Callable[[str], Database]
) -> Line:
    """Stage one case on one database."""
    home = Path(tempfile.mkdtemp(prefix="tagger-fault-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        folder = stack.enter_context(case.disk()) if case.disk else home / "database"
        queue = stack.enter_context(case.queue_disk()) if case.queue_disk else None
        database = SqliteDatabase(folder) if kind == "SQLite" else postgres(name)
        stack.callback(database.close)
        scene = stack.enter_context(
            staged(home, database, case.overrides, bulk=case.bulk, queue=queue)
        )
        struck = case.play(scene, scale)
        scene.settle(struck.ids, timeout_s=TIMEOUT_S)
        recovered_s = time.monotonic() - struck.healed_at
        return Line(
            case=case.name,
            database=kind,
            tally=scene.tally(struck.ids),
            recovered_s=recovered_s,
            wrong=struck.wrong(),
            must_fail=struck.failed,
            note=struck.note,
        )
