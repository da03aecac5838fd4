"""No query of a run, its report or the pruning reads a whole table, on either database."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, insert
from sqlalchemy.orm import Session

from catalog.outcomes import Outcome
from db.engine import reading, sessions
from db.ledger import pruning
from db.ledger.attempts import Attempt
from db.ledger.recording import record_model, record_outcomes
from db.retag import pages as retag_pages
from db.retag import runs as retag_runs
from db.retag.conditions import condition
from db.retag.models import RetagChange, RetagChunk, RunState
from db.retag.outcomes import known_pictures, record_unchanged
from db.retag.report import report
from db.retag.selection import Selection, parse_selection
from lab.scale.synthetic import analyse, fill
from tests.databases import migrated_sqlite
from tests.factories import failed, manifest, tagged

ROWS = 100_000
NOW = datetime(2026, 3, 1, tzinfo=UTC)
MIDDLE = f"sku-{ROWS // 2:010d}"
# Those that grow with the catalog; of a table that is small, reading all is right.
TABLES = ("products", "taggings", "thumbnails", "retag_chunks", "retag_changes")
HISTORY = 30_000


@pytest.fixture
def big(engine: Engine) -> Engine:
    fill(engine, ROWS, thumbnails=2000, overlay_bytes=200)
    with sessions(engine).begin() as session:
        runs = [_over(session) for _ in range(20)]
        counts = dict.fromkeys(("size", "kept", "changed", "skipped", "failed"), 1)
        labels = {"from_label": "bag", "to_label": "coat", "flagged": False}
        chunks = [{"message_id": f"c{n}", "run_id": runs[n % 20], **counts} for n in range(HISTORY)]
        session.execute(insert(RetagChunk), chunks)
        changes = [
            {"run_id": runs[n % 20], "product_id": f"p{n}", "confidence": n / HISTORY, **labels}
            for n in range(HISTORY)
        ]
        session.execute(insert(RetagChange), changes)
    analyse(engine)
    return engine


def _over(session: Session) -> int:
    run = retag_runs.plan(session, Selection(labels=("bag",)), NOW, model_version="m", who="ann")
    run.state = RunState.FINISHED
    session.flush()
    return run.id


class Plans:
    """The plans of all statements that run inside the block."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._seen: list[tuple[str, Any]] = []

    def __enter__(self) -> "Plans":
        event.listen(self._engine, "before_cursor_execute", self._see)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(self._engine, "before_cursor_execute", self._see)

    def _see(
        self, connection: object, cursor: object, statement: str, parameters: Any, *_: object
    ) -> None:
        self._seen.append((statement, parameters))

    def whole_tables(self) -> Iterator[str]:
        """Every reading of a whole table or index, with its statement."""
        for statement, parameters in self._seen:
            if statement.split()[0] in ("SELECT", "UPDATE", "DELETE", "INSERT"):
                for line in self._explain(statement, parameters):
                    if any(f"{sign}{table}" in line for sign in self._signs for table in TABLES):
                        yield f"{line}\n{statement}"

    @property
    def _signs(self) -> tuple[str, ...]:
        postgres = self._engine.dialect.name == "postgresql"
        return ("Seq Scan on ",) if postgres else ("SCAN ",)

    def _explain(self, statement: str, parameters: Any) -> list[str]:
        one = parameters[0] if isinstance(parameters, list) else parameters
        with self._engine.connect() as connection:
            cursor = connection.connection.cursor()
            if self._engine.dialect.name == "postgresql":
                return [row[0] for row in cursor.execute(f"EXPLAIN {statement}", one)]
            # It would also list how children are searched where a foreign key is broken.
            cursor.execute("PRAGMA foreign_keys = OFF")
            lines = [row[3] for row in cursor.execute(f"EXPLAIN QUERY PLAN {statement}", one)]
            cursor.execute("PRAGMA foreign_keys = ON")
            return lines


def planned(engine: Engine, text: str) -> int:
    with sessions(engine).begin() as session:
        run = retag_runs.plan(session, parse_selection(text), NOW, model_version="m2", who="ann")
        run.cursor = MIDDLE
        return run.id


def publish(engine: Engine, run_id: int) -> retag_pages.Taken:
    with sessions(engine).begin() as session:
        retag_pages.lease(session, run_id, "me", NOW)
        run = retag_runs.find(session, run_id)
        chosen = Selection.of_json(run.selection)
        wanted = condition(chosen, model_version=run.model_version, as_of=NOW)
        page = retag_pages.next_page(session, run.cursor, wanted, limit=128)
        return retag_pages.take(session, run_id, "me", run.cursor, page, wanted, NOW)


SELECTIONS = ("older-model", "older-than=10d", "label=coat,older-model", "label=Hat",
              "failed-transient", "all")  # fmt: skip


def test_runs_read_no_whole_table(big: Engine) -> None:
    with Plans(big) as plans:
        for text in SELECTIONS:
            publish(big, planned(big, text))
        finish_and_report(big)
    assert list(plans.whole_tables()) == []


def finish_and_report(engine: Engine) -> None:
    """The outcomes of a chunk, the progress, the end, the report."""
    with sessions(engine).begin() as session:
        record_model(session, manifest(), NOW)
    run_id = planned(engine, "older-than=20d")
    taken = publish(engine, run_id)
    attempts = {
        each.product_id: Attempt(message_id=taken.message_id, number=1, owner="w")
        for each in taken.jobs
    }
    names = list(attempts)
    outcomes: list[Outcome] = [tagged(each) for each in names[:40]]
    outcomes += [failed(each) for each in names[40:50]]
    with sessions(engine).begin() as session:
        record_outcomes(session, outcomes, NOW, attempts=attempts)
    with sessions(engine).begin() as session:
        assert known_pictures(session, attempts)
        record_unchanged(session, names[50:], attempts, NOW)
    with reading(engine)() as session:
        found = report(session, run_id, NOW)
        assert found.progress.counts.done == len(taken.jobs) == 128
        assert session.scalars(retag_runs.owed(run_id)).all() == []


def test_pruning_reads_no_whole_table(big: Engine) -> None:
    with Plans(big) as plans, sessions(big).begin() as session:
        page = pruning.thumbnails_page(session, 500, NOW)
        assert len(page.tagging_ids) > 200
        pruning.delete_thumbnails(session, page.tagging_ids)
        page = pruning.taggings_page(session, ROWS // 2, NOW)
        pruning.delete_taggings(session, [*page.tagging_ids, 7])
    assert list(plans.whole_tables()) == []


STEPS_MAX = 400_000  # of SQLite's machine; visiting all products takes more than a million


def test_no_statement_visits_every_product_even_where_sqlite_knows_no_statistics(
    tmp_path: Path,
) -> None:
    """A search in an index may visit all of it: plans alone do not tell."""
    engine = migrated_sqlite(f"sqlite:///{tmp_path / 'catalog.db'}")
    fill(engine, ROWS, thumbnails=500, overlay_bytes=200, statistics=False)
    costly: dict[str, int] = defaultdict(int)
    running = [""]

    @event.listens_for(engine, "before_cursor_execute")
    def _see(connection: Any, cursor: object, statement: str, *_: object) -> None:
        running[0] = statement
        driver = connection.connection.driver_connection
        driver.set_progress_handler(
            lambda: costly.update({running[0]: costly[running[0]] + 1}), 1000
        )

    for text in SELECTIONS:
        publish(engine, planned(engine, text))
    finish_and_report(engine)
    with sessions(engine).begin() as session:
        assert pruning.thumbnails_page(session, 100, NOW).tagging_ids
        pruning.taggings_page(session, ROWS // 2, NOW)
    engine.dispose()
    assert {statement: 1000 * n for statement, n in costly.items() if 1000 * n > STEPS_MAX} == {}
