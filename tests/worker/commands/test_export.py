import csv
import io
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine, delete

from catalog.cli import main
from catalog.settings import settings
from db.engine import sessions
from db.events.models import EventRow
from db.ledger.accepting import accept
from db.ledger.recording import record_model
from db.review import reviewers
from db.review.decisions import decide, undo
from db.review.models import Action, Role
from tests.desk import decision, item, person
from tests.factories import failed, flagged, job, manifest, record, tagged

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
Tagger = Callable[..., Result]


@pytest.fixture
def tagger(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Tagger:
    monkeypatch.setenv("DATABASE_URL", database_url)
    settings.cache_clear()
    return lambda *arguments: CliRunner().invoke(main, ["export", "labels", *arguments])


@pytest.fixture
def shop(engine: Engine) -> Engine:
    """One product of each state."""
    with sessions(engine).begin() as session:
        record_model(session, manifest(), NOON)
        outcomes = [tagged("a", label="shirt"), flagged("b"), flagged("c"), failed("d")]
        record(session, outcomes, NOON)
        accept(session, [job("on-its-way")], NOON)
        ada = person(session)
        correct = decision(session, item(session, "c").tagging_id, Action.CORRECT, label="coat")
        decide(session, ada, correct, NOON)
    return engine


def lines(done: Result) -> list[dict[str, Any]]:
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def cursor(done: Result) -> str:
    return done.stderr.rsplit("cursor ", 1)[1].strip()


def happen(engine: Engine, *outcomes: Any) -> None:
    with sessions(engine).begin() as session:
        record(session, outcomes, NOON)


def test_every_product_with_an_outcome_has_a_row(tagger: Tagger, shop: Engine) -> None:
    found = {each["product_id"]: each for each in lines(tagger("--format", "jsonl"))}
    assert list(found) == ["a", "b", "c", "d"]
    assert found["a"] == {
        "product_id": "a",
        "state": "tagged",
        "label": "shirt",
        "name": "Shirt",
        "parent": "tops",
        "parent_name": "Tops",
        "google": "212",
        "shopify": None,
        "confidence": 0.91,
        "machine_label": "shirt",
        "decided_by": "machine",
        "reviewer": None,
        "model_version": "test-1",
        "taxonomy": "fashion-mnist",
        "taxonomy_version": 1,
        "reason_code": None,
        "updated_at": "2026-05-01T12:00:00+00:00",
    }
    assert found["b"]["state"] == "needs_review"
    person_ = ("state", "label", "machine_label", "decided_by", "reviewer")
    assert [found["c"][name] for name in person_] == ["reviewed", "coat", "bag", "person", "Ada"]
    assert (found["d"]["label"], found["d"]["reason_code"]) == (None, "not_found")


def test_later_export_holds_what_something_happened_to_since_once_each(
    tagger: Tagger, shop: Engine
) -> None:
    first = tagger("--format", "jsonl")
    assert lines(tagger("--format", "jsonl", "--after", cursor(first))) == []
    happen(shop, tagged("a", label="coat", image_sha256="b" * 64))
    happen(shop, tagged("new"))
    happen(shop, tagged("a", label="dress", image_sha256="c" * 64))
    later = tagger("--format", "jsonl", "--after", cursor(first))
    assert [(each["product_id"], each["label"]) for each in lines(later)] == [
        ("a", "dress"),
        ("new", "bag"),
    ]
    assert lines(tagger("--format", "jsonl", "--after", cursor(later))) == []


def test_decision_that_is_taken_back_is_exported_as_what_holds_now(
    tagger: Tagger, shop: Engine
) -> None:
    first = tagger("--format", "jsonl")
    with sessions(shop).begin() as session:
        undo(session, reviewers.named(session, "Ada"), NOON, key="undo-1")
    [row] = lines(tagger("--format", "jsonl", "--after", cursor(first)))
    assert (row["product_id"], row["state"], row["decided_by"]) == ("c", "needs_review", "machine")


def test_leads_word_is_named_as_the_one_in_force(tagger: Tagger, shop: Engine) -> None:
    with sessions(shop).begin() as session:
        lea = person(session, "Lea", Role.LEAD)
        settle = decision(session, item(session, "b").tagging_id, Action.CORRECT, label="dress")
        decide(session, lea, settle, NOON)
    found = {each["product_id"]: each for each in lines(tagger("--format", "jsonl"))}
    assert (found["b"]["label"], found["b"]["reviewer"]) == ("dress", "Lea")


def test_cursor_file_goes_on_where_it_stopped(tagger: Tagger, shop: Engine, tmp_path: Path) -> None:
    options = ("--format", "jsonl", "--cursor-file", str(tmp_path / "cursor"))
    assert len(lines(tagger(*options))) == 4
    assert lines(tagger(*options)) == []
    happen(shop, tagged("new"))
    assert len(lines(tagger(*options))) == 1


def test_cursor_older_than_the_events_is_refused_with_what_to_do(
    tagger: Tagger, shop: Engine
) -> None:
    happen(shop, tagged("new"))
    tagger()
    with sessions(shop).begin() as session:
        session.execute(delete(EventRow).where(EventRow.number <= 3))
    gone = tagger("--after", "1")
    assert gone.exit_code == 1
    assert "Events up to 3 are deleted" in gone.stderr
    assert "at most 6, received 99" in tagger("--after", "99").stderr


@pytest.mark.parametrize(
    "product_id", ["=1+2", "+1", "-1", "@SUM(A1)", "＝1+2", '=HYPERLINK("//x")']
)
def test_nothing_in_a_csv_is_a_formula(tagger: Tagger, shop: Engine, product_id: str) -> None:
    happen(shop, tagged(product_id))
    done = tagger()
    rows = list(csv.DictReader(io.StringIO(done.stdout_bytes.decode("utf-8-sig"))))
    assert "'" + product_id in [row["product_id"] for row in rows]
    for row in rows:
        for value in row.values():
            assert not value.startswith(("=", "+", "-", "@", "\t", "\r", "＝"))
    programs = lines(tagger("--format", "jsonl"))
    assert product_id in [row["product_id"] for row in programs]


def test_csv_opens_in_a_spreadsheet_as_utf_8(tagger: Tagger, shop: Engine) -> None:
    happen(shop, tagged('Größe, "42"'))
    raw = tagger().stdout_bytes
    assert raw.startswith("\ufeffproduct_id,state,".encode())
    assert b"\r\n" in raw
    assert '"Größe, ""42"""'.encode() in raw
    assert tagger("--no-bom").stdout_bytes.startswith(b"product_id,")


def test_parquet_has_the_same_columns_whatever_the_rows_hold(
    tagger: Tagger, shop: Engine, tmp_path: Path
) -> None:
    whole, empty = tmp_path / "whole.parquet", tmp_path / "empty.parquet"
    done = tagger("--format", "parquet", "--output", str(whole))
    assert done.exit_code == 0, done.output
    assert (
        tagger("--format", "parquet", "--output", str(empty), "--after", cursor(done)).exit_code
        == 0
    )
    table = pyarrow.parquet.read_table(whole)
    assert table.column("product_id").to_pylist() == ["a", "b", "c", "d"]
    assert table.column("confidence").to_pylist()[0] == 0.91
    assert table.column("updated_at").to_pylist()[0] == NOON
    assert pyarrow.parquet.read_table(empty).schema == table.schema
    assert [each.name for each in tmp_path.iterdir() if each.name.endswith(".new")] == []


def test_parquet_without_its_extra_says_what_to_install(
    tagger: Tagger, shop: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    output = tmp_path / "labels.parquet"
    done = tagger("--format", "parquet", "--output", str(output))
    assert done.exit_code == 1
    assert "pip install 'catalog-tagger[parquet]'" in done.stderr
    assert not output.exists()
    assert tagger("--format", "parquet").exit_code == 2  # not to a terminal
