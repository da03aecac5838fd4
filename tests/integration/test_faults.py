"""The fault table in its short form: real processes, one database a fault, both over the table."""

from collections.abc import Iterator

import pytest

from lab.faults import stores
from lab.faults.cases import Case, Scale
from lab.faults.databases import PostgresServer
from lab.faults.suite import CASES, FULL, Line, play

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

SHORTEST = Scale(items=64, outage_s=3.0)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.close()


def one_database_each() -> Iterator[tuple[Case, str]]:
    for number, case in enumerate(CASES):
        if case.mounts and not stores.may_mount():
            continue  # the full table, run as root, has it
        yield case, case.databases[number % len(case.databases)]


@pytest.mark.parametrize(
    ("case", "kind"), list(one_database_each()), ids=lambda each: getattr(each, "name", each)
)
def test_nothing_is_lost_and_nothing_is_doubled(
    case: Case, kind: str, server: PostgresServer, request: pytest.FixtureRequest
) -> None:
    name = f"fault_{abs(hash(request.node.nodeid))}"
    line: Line = play(case, kind, name, SHORTEST, server.database)
    assert line.survived, line


def test_full_table_has_ten_thousand_items() -> None:
    assert sum(len(case.databases) for case in CASES) * FULL.items >= 10_000
    assert {kind for case in CASES for kind in case.databases} == {"SQLite", "PostgreSQL"}
