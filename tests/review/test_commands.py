import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from catalog.cli import main
from catalog.settings import settings
from db.engine import sessions
from db.ledger.models import Product
from db.review import reviewers
from db.review.decisions import undo
from db.review.leases import claim
from db.review.models import CredentialKind
from db.services import tokens
from tests.desk import NOON, flag_many

Run = Callable[..., Result]


@pytest.fixture
def tagger(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("DATABASE_URL", database_url)
    settings.cache_clear()

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, arguments)

    return run


@pytest.fixture
def stocked(engine: Engine) -> Engine:
    """Twelve flagged products."""
    with sessions(engine).begin() as session:
        flag_many(session, 12)
    return engine


def test_reviewer_is_added_listed_and_disabled(tagger: Run, engine: Engine) -> None:
    token = tagger("reviewer", "add", "Ada", "--lead").stdout.strip()
    with Session(engine) as session:
        owner = reviewers.owner(session, token, CredentialKind.TOKEN, NOON)
        assert owner is not None
        assert (owner.name, owner.role) == ("Ada", "lead")
    row = json.loads(tagger("reviewer", "list", "--json").stdout)
    assert row == {"name": "Ada", "role": "lead", "disabled": False}
    assert tagger("reviewer", "disable", "Ada").exit_code == 0
    assert "disabled" in tagger("reviewer", "list").stdout
    refused = tagger("reviewer", "token", "Ada")
    assert refused.exit_code == 1
    assert "is disabled" in refused.stderr


def test_service_is_added_given_scopes_another_token_and_revoked(
    tagger: Run, engine: Engine
) -> None:
    first = tagger("service", "add", "shop").stdout.strip()
    second = tagger("service", "token", "shop", "--old-ends-in-h", "1").stdout.strip()
    now = datetime.now(UTC)
    with Session(engine) as session:
        owners = [tokens.owner(session, each, now) for each in (first, second)]
        assert [each and each.scopes for each in owners] == [["jobs", "results"]] * 2
    assert "scope results." in tagger("service", "scopes", "shop", "results").stdout
    row = json.loads(tagger("service", "list", "--json").stdout)
    assert row == {"name": "shop", "scopes": ["results"], "tokens": 2, "revoked": False}
    assert tagger("service", "revoke", "shop").exit_code == 0
    assert "revoked" in tagger("service", "list").stdout
    refused = tagger("service", "token", "shop")
    assert refused.exit_code == 1
    assert "is revoked" in refused.stderr
    assert tagger("service", "add", "x", "--scope", "all").exit_code == 2


def test_new_token_and_link_work_and_are_not_stored(tagger: Run, engine: Engine) -> None:
    tagger("reviewer", "add", "Ada")
    token = tagger("reviewer", "token", "Ada").stdout.strip()
    link = tagger("reviewer", "link", "Ada").stdout.strip()
    assert link.startswith("http://127.0.0.1:8008/welcome/tagger-")
    with Session(engine) as session:
        assert reviewers.owner(session, token, CredentialKind.TOKEN, NOON)
        assert reviewers.owner(session, link.rpartition("/")[2], CredentialKind.LINK, NOON)


def test_list_filters_and_leads_on(tagger: Run, stocked: Engine) -> None:
    page = json.loads(tagger("review", "list", "--limit", "5", "--json").stdout)
    again = json.loads(
        tagger("review", "list", "--limit", "50", "--cursor", page["next_cursor"], "--json").stdout
    )
    names = [item["product_id"] for item in page["items"] + again["items"]]
    assert names == [f"p{number:03d}" for number in range(12)]
    bags = tagger("review", "list", "--label", "bag")
    assert bags.stdout.startswith("p008")
    assert "1 waiting" in bags.stderr
    tops = tagger("review", "list", "--label", "tops", "--json")
    labels = {each["label"] for each in json.loads(tops.stdout)["items"]}
    assert labels == {"t-shirt-top", "pullover", "shirt"}
    unknown = tagger("review", "list", "--label", "Sofas")
    assert (unknown.exit_code, "tagger taxonomy show" in unknown.output) == (2, True)
    assert tagger("review", "list", "--cursor", "x").exit_code == 2


def test_accept_and_correct_are_audited_as_from_the_terminal(tagger: Run, stocked: Engine) -> None:
    tagger("reviewer", "add", "Ada")
    assert tagger("review", "accept", "p000", "p001", "--as", "Ada").exit_code == 0
    record = json.loads(
        tagger("review", "correct", "p002", "dress", "--as", "Ada", "--json").stdout
    )
    assert (record["label"], record["reviewer"], record["channel"]) == ("dress", "Ada", "terminal")
    shown = json.loads(tagger("review", "show", "p002", "--json").stdout)
    assert (shown["reviewed_label"], shown["waits_for"]) == ("dress", "nobody")
    assert "Ada: correct dress" in tagger("review", "show", "p002").stdout
    with Session(stocked) as session:
        assert session.get_one(Product, "p001").reviewed_label == "trouser"


def test_bad_input_at_the_terminal_changes_nothing(tagger: Run, stocked: Engine) -> None:
    tagger("reviewer", "add", "Ada")
    unknown = tagger("review", "accept", "nothing", "p000", "--as", "Ada")
    assert unknown.exit_code == 1
    assert "nothing: it does not wait for a person" in unknown.stderr
    assert "p000: t-shirt-top" in unknown.stdout
    assert tagger("review", "correct", "p001", "Skirt", "--as", "Ada").exit_code == 2
    nobody = tagger("review", "accept", "p001", "--as", "Nobody")
    assert "found none named 'Nobody' (there are: Ada)" in nobody.stderr
    again = tagger("review", "accept", "p000", "--as", "Ada")
    assert "not open any more" in again.stderr
    assert tagger("review", "show", "nothing").exit_code == 1


def test_stats_for_people_and_programs(tagger: Run, stocked: Engine) -> None:
    tagger("reviewer", "add", "Ada")
    tagger("review", "accept", "p000", "--as", "Ada")
    figures = json.loads(tagger("review", "stats", "--json").stdout)
    assert (figures["open"], figures["people"][0]["decisions"]) == (11, 1)
    assert "11 waiting" in tagger("review", "stats").stdout


def test_export_goes_on_where_it_stopped(tagger: Run, stocked: Engine, tmp_path: Path) -> None:
    tagger("reviewer", "add", "Ada")
    output, cursor = tmp_path / "corrections.jsonl", tmp_path / "cursor"

    def export() -> list[dict[str, object]]:
        before = output.read_text() if output.exists() else ""
        done = tagger("export-corrections", "--output", str(output), "--cursor-file", str(cursor))
        assert done.exit_code == 0, done.stderr
        return [json.loads(line) for line in output.read_text()[len(before) :].splitlines()]

    assert export() == []
    tagger("review", "accept", "p000", "--as", "Ada")
    tagger("review", "correct", "p001", "not_in_taxonomy", "--as", "Ada")
    tagger("review", "correct", "p002", "bad_image", "--as", "Ada")
    first, second = export()
    assert first["label"] == "t-shirt-top"
    assert (second["label"], second["action"]) == ("not_in_taxonomy", "not_in_taxonomy")
    assert {"image_uri", "image_sha256", "reviewer", "decided_at", "model_version"} <= set(first)
    assert export() == []
    with sessions(stocked).begin() as session:
        ada = reviewers.named(session, "Ada")
        undo(session, ada, NOON, key="undo-bad-image")
        undo(session, ada, NOON, key="undo-not-in-taxonomy")
    [taken_back] = export()
    assert (taken_back["kind"], taken_back["retracts"]) == ("retraction", second["review_id"])
    tagger("review", "correct", "p001", "coat", "--as", "Ada")
    assert [each["label"] for each in export()] == ["coat"]


def test_decision_undone_before_the_export_leaves_no_line(tagger: Run, stocked: Engine) -> None:
    tagger("reviewer", "add", "Ada")
    tagger("review", "accept", "p000", "--as", "Ada")
    with sessions(stocked).begin() as session:
        undo(session, reviewers.named(session, "Ada"), NOON, key="undo-at-once")
    done = tagger("export-corrections")
    assert done.stdout == ""
    assert "0 written; cursor 2" in done.stderr


def test_unreadable_cursor_is_said(tagger: Run, engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "cursor").write_text("yesterday")
    done = tagger("export-corrections", "--cursor-file", str(tmp_path / "cursor"))
    assert done.exit_code == 1
    assert "Expected a number" in done.stderr


def test_item_that_another_holds_is_not_taken(tagger: Run, stocked: Engine) -> None:
    tagger("reviewer", "add", "Ada")
    tagger("reviewer", "add", "Ben")
    with sessions(stocked).begin() as session:
        claim(session, reviewers.named(session, "Ben"), datetime.now(UTC))
    refused = tagger("review", "accept", "p000", "--as", "Ada")
    assert refused.exit_code == 1
    assert "now with Ben" in refused.stderr


def test_photos_are_exported_with_the_taxonomy_in_force(
    tagger: Run, stocked: Engine, tmp_path: Path
) -> None:
    tagger("reviewer", "add", "Ada")
    assert tagger("review", "correct", "p001", "Coat", "--as", "Ada").exit_code == 0
    with sessions(stocked).begin() as session:
        session.get_one(Product, "p002").declared_label = "Näh-Zeug"
    output, taxonomy = tmp_path / "photos.jsonl", tmp_path / "taxonomy.yaml"
    done = tagger("export-photos", "--output", str(output), "--taxonomy-output", str(taxonomy))
    assert done.exit_code == 0, done.output
    assert "1 by people, 1 as declared" in done.stderr
    lines = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert [(each["group"], each["label"], each["declared"]) for each in lines] == [
        ("p001", "coat", False),
        ("p002", "Näh-Zeug", True),
    ]
    assert lines[0]["taxonomy"] == "fashion-mnist 1"
    assert lines[0]["weight"] > lines[1]["weight"]
    assert tagger("taxonomy", "check", str(taxonomy)).exit_code == 0
    assert tagger("export-photos").stdout == output.read_text(encoding="utf-8")
