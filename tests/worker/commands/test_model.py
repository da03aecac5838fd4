"""The registry from the terminal: what is refused, what is forced, what is shown."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine, text

from catalog.bundle import MANIFEST, TAXONOMY, checksums, read_manifest
from catalog.bundle_store import BundleStore
from catalog.cli import main
from catalog.outcomes import FlagReason
from catalog.settings import SHIPPED_BUNDLE, settings
from catalog.taxonomy.document import to_json
from catalog.taxonomy.files import to_yaml
from catalog.taxonomy.model import Replaced, Taxonomy
from db.engine import sessions
from db.ledger.recording import record_model
from db.ledger.taxonomies import taxonomy_in_force
from db.registry import bundles as registry
from db.review.decisions import decide
from db.review.models import Action
from tests.bundles import variant
from tests.databases import migrated_sqlite
from tests.desk import decision, item, person
from tests.factories import flagged, manifest, record, tagged

SHIPPED = read_manifest(SHIPPED_BUNDLE).model_version
NOW = datetime(2026, 1, 1, tzinfo=UTC)
Tagger = Callable[..., Result]


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = migrated_sqlite(settings().database)
    yield engine
    engine.dispose()


@pytest.fixture
def tagger(engine: Engine) -> Tagger:
    return lambda *arguments: CliRunner().invoke(main, ["model", *map(str, arguments)])


@pytest.fixture
def registered(tagger: Tagger, tmp_path: Path) -> Path:
    """A bundle of the version b."""
    source = variant(tmp_path, "b")
    assert tagger("add", source).exit_code == 0
    return source


def shown(tagger: Tagger) -> dict[str, object]:
    found: dict[str, object] = json.loads(tagger("list", "--json").stdout)
    return found


def judge(engine: Engine, *, right: str, wrong: str, count: int) -> None:
    """People audit so many pictures, which one model has right and the other wrong."""
    with sessions(engine).begin() as session:
        ada = person(session)
        for version in (right, wrong):
            record_model(session, manifest(model_version=version), NOW)
        for number in range(count):
            for version, label in ((wrong, "shirt"), (right, "coat")):
                outcome = tagged(
                    f"p{number}",
                    label=label,
                    model_version=version,
                    reasons=(FlagReason.AUDIT_SAMPLE,),
                )
                record(session, [outcome], NOW)
            tagging_id = item(session, f"p{number}").tagging_id
            decide(session, ada, decision(session, tagging_id, Action.CORRECT, label="coat"), NOW)


def test_promote_and_rollback_are_one_command_each(tagger: Tagger, registered: Path) -> None:
    assert shown(tagger)["serving"] == SHIPPED
    done = tagger("promote", "b", "--by", "ann")
    assert done.exit_code == 0
    assert "no audited item was seen by both" in done.stderr
    assert shown(tagger)["serving"] == "b"
    assert "serves again instead of b" in tagger("rollback", "--by", "bob").stdout
    found = shown(tagger)
    assert found["serving"] == SHIPPED
    told = [(each["by"], each["change"], each["to"]) for each in found["changes"]]  # type: ignore[attr-defined]
    assert told == [("bob", "rollback", None), ("ann", "promote", "b")]
    again = tagger("rollback")
    assert again.exit_code == 1
    assert "TAGGER_BUNDLE serves" in again.stderr


def test_a_model_that_is_worse_on_audited_items_is_promoted_only_by_force(
    tagger: Tagger, registered: Path, engine: Engine
) -> None:
    judge(engine, right=SHIPPED, wrong="b", count=6)
    refused = tagger("promote", "b")
    assert refused.exit_code == 1
    assert "6 are right only with" in refused.stderr
    assert "p = 0.031" in refused.stderr
    assert shown(tagger)["serving"] == SHIPPED
    assert tagger("promote", "b", "--force").exit_code == 0
    found = shown(tagger)
    assert (found["serving"], found["changes"][0]["forced"]) == ("b", True)  # type: ignore[index]


def test_a_model_that_is_better_needs_no_force_and_hears_no_warning(
    tagger: Tagger, registered: Path, engine: Engine
) -> None:
    judge(engine, right="b", wrong=SHIPPED, count=6)
    done = tagger("promote", "b")
    assert (done.exit_code, done.stderr) == (0, "")


def test_five_against_none_prove_nothing_yet(
    tagger: Tagger, registered: Path, engine: Engine
) -> None:
    judge(engine, right=SHIPPED, wrong="b", count=5)
    assert tagger("promote", "b").exit_code == 0


def test_compare_times_both_and_says_who_is_better(
    tagger: Tagger, registered: Path, engine: Engine
) -> None:
    judge(engine, right="b", wrong=SHIPPED, count=6)
    figures = json.loads(tagger("compare", "serving", "b", "--json").stdout)
    assert (figures["first"], figures["second"]) == (SHIPPED, "b")
    assert figures["audited"]["verdict"] == "better"
    assert all(0 < each < 1000 for each in figures["ms_per_image"])
    text = tagger("compare", "serving", "b").stdout
    assert "On audited items: better" in text
    assert "100.0 %" in text


def test_a_shadow_is_tried_and_retired(tagger: Tagger, registered: Path) -> None:
    assert tagger("shadow", "b", "--share", "0.25").exit_code == 0
    assert shown(tagger)["shadow"] == {"version": "b", "share": 0.25}
    assert "shadow 25.0%" in tagger("list").stdout
    assert tagger("retire", "shadow", "--forget").exit_code == 0
    assert shown(tagger)["shadow"] is None
    assert tagger("retire", "shadow").exit_code == 1


def test_a_bundle_that_does_not_verify_is_not_added(
    tagger: Tagger, engine: Engine, tmp_path: Path
) -> None:
    source = variant(tmp_path, "b")
    (source / "reduced/model.tflite").write_bytes(b"other")
    done = tagger("add", source)
    assert done.exit_code == 1
    assert "Expected sha256" in done.stderr
    assert shown(tagger)["bundles"] == []


def test_a_bundle_that_is_gone_is_neither_promoted_nor_tried(
    tagger: Tagger, registered: Path
) -> None:
    shutil.rmtree(BundleStore(settings().models_folder).path(shown(tagger)["bundles"][0]["sha256"]))  # type: ignore[index]
    for command in ("promote", "shadow", "canary"):
        done = tagger(command, "b")
        assert done.exit_code == 1
        assert "tagger model add" in done.stderr


def test_the_folder_of_what_serves_is_where_learning_goes_on(
    tagger: Tagger, registered: Path
) -> None:
    assert Path(tagger("path").stdout.strip()) == SHIPPED_BUNDLE
    tagger("promote", "b")
    serving = Path(tagger("path").stdout.strip())
    assert read_manifest(serving).model_version == "b"
    assert read_manifest(Path(tagger("path", SHIPPED).stdout.strip())).model_version == SHIPPED


def test_what_workers_refuse_is_listed(tagger: Tagger, registered: Path, engine: Engine) -> None:
    with sessions(engine).begin() as session:
        registry.refuse(session, "ingest@host", "f" * 64, "spoilt on the way", NOW)
    assert "REFUSED" in tagger("list").stdout
    assert "spoilt on the way" in tagger("list").stdout


def test_promoting_a_bundle_of_a_later_taxonomy_puts_that_in_force(
    tagger: Tagger, engine: Engine, tmp_path: Path
) -> None:
    with sessions(engine).begin() as session:
        record_model(session, manifest(), NOW)
        record(session, [tagged("p1", label="bag")], NOW)
        record(session, [tagged("p2", label="coat")], NOW)
    source = variant(tmp_path, "later")
    old = read_manifest(source).taxonomy
    categories = tuple(
        replace(each, id="handbag" if each.id == "bag" else each.id) for each in old.categories
    )
    later = Taxonomy(
        name=old.name,
        version=2,
        categories=categories,
        replaces=Replaced(version=1, categories={"bag": ("handbag",)}),
    )
    (source / TAXONOMY).write_text(to_json(later), encoding="utf-8")
    found = json.loads((source / MANIFEST).read_text().replace('"bag"', '"handbag"'))
    found |= {"taxonomy": {"name": later.name, "version": 2}, "files": checksums(source)}
    (source / MANIFEST).write_text(json.dumps(found))
    assert tagger("add", source).exit_code == 0
    promoted = tagger("promote", "later")
    assert promoted.exit_code == 0, promoted.output
    assert "fashion-mnist 2 is in force instead of fashion-mnist 1." in promoted.stdout
    with sessions(engine).begin() as session:
        labels = dict(session.execute(text("SELECT product_id, label FROM labels_in_force")).all())
    assert labels == {"p1": "handbag", "p2": "coat"}
    assert tagger("rollback").exit_code == 0
    with sessions(engine).begin() as session:
        assert taxonomy_in_force(session) == later


def test_a_taxonomy_is_put_in_force_from_its_file(engine: Engine, tmp_path: Path) -> None:
    with sessions(engine).begin() as session:
        ada = person(session)
        record_model(session, manifest(), NOW)
        record(session, [flagged("p1", label="bag"), tagged("p2", label="coat")], NOW)
        tagging_id = item(session, "p1").tagging_id
        decide(session, ada, decision(session, tagging_id, Action.CORRECT, label="coat"), NOW)
    old = read_manifest(SHIPPED_BUNDLE).taxonomy
    later = replace(
        old, version=2, categories=tuple(each for each in old.categories if each.id != "coat")
    )
    path = tmp_path / "v2.yaml"
    path.write_text(to_yaml(later), encoding="utf-8")
    done = CliRunner().invoke(main, ["taxonomy", "adopt", str(path)])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        "fashion-mnist 2 is in force instead of fashion-mnist 1.",
        "Labels that people gave: 0 changed, 1 asked again.",
        "Products without a label until `tagger retag start --changed-taxonomy`, with a model of "
        "this taxonomy: 1.",
    ]
    again = CliRunner().invoke(main, ["taxonomy", "adopt", "fashion-mnist"])
    assert again.exit_code == 1
    assert "Expected a version after fashion-mnist 2" in again.output
