"""Trust in photos: earned by reviews, shown, put in force, picked up by a working child."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from sqlalchemy import Engine, select, update

from catalog.bundle import Manifest, read_manifest
from catalog.cli import main
from catalog.networks import NetworkName
from catalog.outcomes import FlagReason
from catalog.sample import SAMPLE
from catalog.settings import read_settings, settings
from catalog.status import ProductStatus
from db.engine import reading, sessions
from db.ledger.models import Product, Tagging
from db.ledger.recording import record_model
from db.registry.photo_trust_models import EarnedTrust
from tests.databases import migrated_sqlite
from tests.factories import record, tagged
from tests.photo_networks import without_photo_network
from tests.taxonomies import LABELS
from worker.tagging.process import make_batch_runner

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BAG = LABELS.index("bag")


@pytest.fixture(scope="module")
def reduced_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped 28×28 network alone, so that it is the one whose trust is at stake."""
    return without_photo_network(tmp_path_factory.mktemp("bundles") / "reduced")


@pytest.fixture(autouse=True)
def serving(reduced_only: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAGGER_BUNDLE", str(reduced_only))


def manifest() -> Manifest:
    return read_manifest(settings().bundle)


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = migrated_sqlite(settings().database)
    yield engine
    engine.dispose()


def reviewed_bags(engine: Engine, *, right: int, wrong: int = 0, confidence: float = 0.9) -> None:
    """Photos that were flagged for their confidence, and what a person then said."""
    others = (1 - confidence) / 9
    confidences = tuple(confidence if place == BAG else others for place in range(10))
    with sessions(engine).begin() as session:
        record_model(session, manifest(), NOW)
        photos = [
            tagged(
                f"p{number}",
                label="bag",
                confidence=confidence,
                confidences=confidences,
                reasons=(FlagReason.LOW_CONFIDENCE,),
                photo_temperature=manifest().photo_rule_of(NetworkName.REDUCED).temperature,
                model_version=manifest().model_version,
                image_sha256=f"{number:064}",
            )
            for number in range(right + wrong)
        ]
        record(session, photos, NOW)
        wrong_ones = [f"p{number}" for number in range(wrong)]
        session.execute(update(Product).values(status=ProductStatus.REVIEWED, reviewed_label="bag"))
        session.execute(
            update(Product).where(Product.id.in_(wrong_ones)).values(reviewed_label="coat")
        )


def tagger(*arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(main, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_with_too_few_reviews_the_cautious_rule_stays_and_what_is_missing_is_said(
    engine: Engine,
) -> None:
    reviewed_bags(engine, right=39)
    bag = tagger("recalibrate")["classes"]["bag"]
    assert bag["state"] == "cautious"
    assert bag["more_right_reviews_needed"] == 60
    text = CliRunner().invoke(main, ["trust"]).output
    assert "60 more right reviews" in text
    assert "39 of them reviewed" in text


def test_reviews_that_prove_it_are_put_in_force_for_their_class_alone(engine: Engine) -> None:
    reviewed_bags(engine, right=120)
    before = tagger("trust")
    assert before["classes"]["bag"]["state"] == "cautious"
    assert "would accept" in CliRunner().invoke(main, ["trust"]).output
    assert tagger("recalibrate", "--dry-run")["classes"]["bag"]["state"] == "cautious"
    found = tagger("recalibrate")["classes"]
    assert found["bag"]["state"] == "trusted"
    assert found["bag"]["accepted_from"] <= 0.9
    assert (found["bag"]["reviewed"], found["bag"]["right"]) == (120, 120)
    assert found["bag"]["errors_at_most"] <= 0.03
    assert {found[label]["state"] for label in LABELS if label != "bag"} == {"cautious"}


def test_errors_soften_the_confidences_and_no_class_is_trusted_for_them(engine: Engine) -> None:
    reviewed_bags(engine, right=60, wrong=60)
    found = tagger("recalibrate")
    assert found["classes"]["bag"]["state"] == "cautious"
    assert found["temperature"] == pytest.approx(found["fitted_temperature"], rel=0.01)
    assert found["temperature"] > manifest().photo_rule_of(NetworkName.REDUCED).temperature


class Uncounted:
    """In place of the metrics, whose files stay open as long as their process lives."""

    def batch(self, *_: object) -> None: ...

    def crash(self, *_: object) -> None: ...


def photo(folder: Path, number: int) -> dict[str, str]:
    """A garment as a small photo on white paper, and the message about it."""
    with np.load(SAMPLE) as sample:
        image = sample["images"][number]
    large = 255 - cv2.resize(image, (112, 112), interpolation=cv2.INTER_CUBIC)
    path = folder / f"{number}.png"
    Image.fromarray(cv2.copyMakeBorder(large, 8, 8, 8, 8, 0, value=255)).save(path)
    return {"product_id": f"photo-{number}", "image_uri": path.as_uri()}


def test_a_working_child_takes_what_was_earned_at_its_heartbeat(
    engine: Engine, tmp_path: Path
) -> None:
    chosen = read_settings(
        home=settings().home, allowed_roots=(tmp_path,), audit_share=0, cautious_audit_share=0
    )
    runner = make_batch_runner(chosen, engine=engine, metrics=Uncounted(), heartbeat_s=0.0)
    messages = [photo(tmp_path, number) for number in range(0, 600, 40)]
    runner.tag_and_store(messages, [each["product_id"] for each in messages])
    with reading(engine)() as session:
        rows = list(session.scalars(select(Tagging)))
    assert all(row.photo_temperature is not None for row in rows)
    unsure = next(row for row in rows if row.reasons == [FlagReason.LOW_CONFIDENCE.value])
    with sessions(engine).begin() as session:
        session.add(
            EarnedTrust(
                model_version=manifest().model_version,
                label=unsure.label,
                confidence_min=0.0,
                temperature=manifest().photo_rule_of(NetworkName.REDUCED).temperature,
                reviewed=0,
                right=0,
                error_at_most=1.0,
                level=0.95,
                decided_at=NOW,
            )
        )
    again = next(each for each in messages if each["product_id"] == unsure.product_id)
    again = again | {"product_id": "again"}
    runner.tag_and_store([again], ["again"])
    with reading(engine)() as session:
        assert (
            session.scalars(select(Tagging.reasons).where(Tagging.product_id == "again")).one()
            == []
        )
