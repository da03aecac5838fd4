"""A night: a catalog that another model tagged, a run over it, and the run after that."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, update

from catalog.bundle import read_manifest
from catalog.jobs import file_job
from catalog.sample import write_pictures
from catalog.settings import SHIPPED_BUNDLE, environment
from catalog.status import ProductStatus
from catalog.taxonomy.document import to_fields
from db.engine import sessions
from db.ledger.models import Model, Product, Tagging
from db.ledger.results import ProductResult
from db.retag import runs as retag_runs
from db.retag.models import RunState
from db.retag.selection import Selection
from worker.client import EnqueueClient
from worker.local.stack import LocalStack
from worker.retag.starting import progress_of

pytestmark = pytest.mark.integration

FORMER = "former-model"
ALL = Selection(everything=True)


def tagger(system: LocalStack, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("tagger")), *arguments],
        env=os.environ | environment(system.settings),
        capture_output=True,
        text=True,
        timeout=120,
    )


def pretend_another_model_tagged(engine: Engine, wrong: list[str], reviewed: str) -> None:
    """All taggings become another model's, sure ones; those of `wrong` said bag."""
    shipped = read_manifest(SHIPPED_BUNDLE)
    with sessions(engine).begin() as session:
        session.add(
            Model(
                version=FORMER,
                labels=list(shipped.labels),
                taxonomy=to_fields(shipped.taxonomy),
                taxonomy_name=shipped.taxonomy.name,
                taxonomy_version=shipped.taxonomy.version,
                manifest={},
                created_at="2020-01-01T00:00:00+00:00",
                first_used_at=session.scalars(select(Tagging.tagged_at).limit(1)).one(),
            )
        )
        session.flush()
        session.execute(update(Tagging).values(model_version=FORMER, confidence=0.99))
        session.execute(update(Tagging).where(Tagging.product_id.in_(wrong)).values(label="bag"))
        session.execute(update(Product).values(last_model_version=FORMER))
        person = {"status": ProductStatus.REVIEWED, "reviewed_label": "bag"}
        session.execute(update(Product).where(Product.id == reviewed).values(person))


def test_night_over_a_catalog_that_another_model_tagged(
    system: LocalStack,
    system_engine: Engine,
    client: EnqueueClient,
    outcomes: Callable[[list[str]], dict[str, ProductResult]],
    tmp_path: Path,
) -> None:
    pictures = write_pictures(tmp_path / "pictures")[:200]
    for picture in pictures:
        os.utime(picture.path, (1e9, 1e9))  # a catalog's files were not written just now
    client.enqueue_many(file_job(each.path, each.product_id) for each in pictures)
    ids = [each.product_id for each in pictures]
    outcomes(ids)
    trousers = [each.product_id for each in pictures if each.label == "trouser"]
    boot = next(each for each in pictures if each.label == "ankle-boot")
    pretend_another_model_tagged(system_engine, [*trousers, boot.product_id], boot.product_id)
    gone = next(each for each in pictures if each.label == "dress")
    gone.path.unlink()

    done = tagger(system, "retag", "start", "--older-model", "--json")
    run = json.loads(done.stdout)
    assert (run["state"], run["done"], run["failed"]) == ("finished", len(ids), 1), done.stderr
    assert run["changed"] >= len(trousers)

    page = tmp_path / "report.html"
    found = tagger(system, "retag", "report", str(run["id"]), "--json", "--html", str(page))
    report = json.loads(found.stdout)
    cells = {(each["from_label"], each["to_label"]): each for each in report["changes"]}
    cell = cells["bag", "trouser"]
    assert cell["count"] >= len(trousers) - 2
    assert {each["product_id"] for each in cell["examples"]} <= set(trousers)
    assert report["failures"] == {"not_found": 1}
    assert report["reviewed"]["disagrees_now"] == 1
    html = page.read_text()
    assert "data:image/jpeg;base64," in html
    assert "bag → trouser" in html
    assert "http" not in html, "the page needs nothing beside it"

    after = outcomes(ids)
    assert after[boot.product_id].status == ProductStatus.REVIEWED
    assert after[boot.product_id].label == "bag", "a person said so"
    assert after[gone.product_id].failure_code == "not_found"
    assert after[gone.product_id].label == "dress", "the old tagging is kept"
    flagged = [each for each in trousers if "label_changed_on_retag" in after[each].reasons]
    assert len(flagged) >= len(trousers) - 2

    again = json.loads(tagger(system, "retag", "start", "--all", "--json").stdout)
    assert (again["skipped"], again["failed"]) == (len(ids) - 1, 1)
    assert outcomes(ids)[ids[5]].status == after[ids[5]].status
    nothing = tagger(system, "retag", "start", "--older-model")
    assert "nothing to do" in nothing.stdout


def test_upkeep_publishes_a_run_that_nobody_else_publishes(
    system: LocalStack,
    system_engine: Engine,
    client: EnqueueClient,
    outcomes: Callable[[list[str]], dict[str, ProductResult]],
    tmp_path: Path,
) -> None:
    pictures = write_pictures(tmp_path / "pictures")[:20]
    client.enqueue_many(file_job(each.path, each.product_id) for each in pictures)
    outcomes([each.product_id for each in pictures])
    started = json.loads(tagger(system, "retag", "start", "--all", "--background", "--json").stdout)
    deadline = time.monotonic() + 60
    while progress_of(system_engine, started["id"]).state is not RunState.FINISHED:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert progress_of(system_engine, started["id"]).counts.done == len(pictures)


def test_status_shows_open_runs_only(system: LocalStack, system_engine: Engine) -> None:
    with sessions(system_engine).begin() as session:
        run = retag_runs.plan(session, ALL, datetime.now(UTC), model_version="m", who="ann")
        run.state = RunState.PAUSED
    assert f"Run {run.id} (all) paused" in tagger(system, "status").stdout
    shown = json.loads(tagger(system, "status", "--json").stdout)["retag_runs"]
    assert [each["id"] for each in shown] == [run.id]
    assert "cancelled" in tagger(system, "retag", "cancel", str(run.id)).stdout
    assert json.loads(tagger(system, "status", "--json").stdout)["retag_runs"] == []
