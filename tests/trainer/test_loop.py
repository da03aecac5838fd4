"""The loop closed, with every part as it runs: flags, people, learning, shadow, promotion, retag.

The shop takes close-ups, which the network was not trained for.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from sqlalchemy import Engine, select

from catalog.cli import main
from catalog.jobs import Job, file_job
from catalog.settings import Settings, read_settings, settings
from catalog.status import ProductStatus
from db.engine import make_engine, reading, sessions
from db.ledger.models import Product, Tagging
from db.ledger.results import unfinished
from db.review.decisions import decide
from db.review.models import Action, ReviewItem, WaitsFor
from tests.desk import decision, person
from tests.photo_networks import without_photo_network
from trainer.adapt import AdaptConfig, adapt
from trainer.corrections import read_corrections
from trainer.fashion_mnist.classes import LABELS
from trainer.fine_tuning import FineTuningConfig
from trainer.shop_photos import read_photos
from worker.client import EnqueueClient
from worker.local.stack import running

pytestmark = [pytest.mark.training, pytest.mark.integration]

Garments = tuple[NDArray[np.uint8], NDArray[np.uint8]]
Truth = Mapping[str, str]
SIZE_PX = 112  # larger than a model input: a photo
SEEN = np.s_[:18, 5:23]
SOLD = ("t-shirt-top", "trouser", "sandal", "bag", "ankle-boot")
TAUGHT, SHADOWED = 200, 40
TIMEOUT_S = 120.0
QUICK = AdaptConfig(
    learners=("head",),
    folds=2,
    fine_tuning=FineTuningConfig(views=2, replay_images=200, forgetting_max=0.05),
)


@pytest.fixture
def shop(garments: Garments, tmp_path: Path) -> tuple[list[Job], Truth]:
    """300 photos: the upper part of some of the sample's garments on white, and what they show."""
    jobs, truth = [], {}
    sold = np.isin(garments[1], [LABELS.index(each) for each in SOLD])
    images, labels = (part[sold] for part in garments)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = tmp_path / f"{number:03d}.png"
        close = cv2.resize(255 - image[SEEN], (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(path), close)
        jobs.append(file_job(path, f"p{number:03d}"))
        truth[f"p{number:03d}"] = LABELS[label]
    return jobs, truth


@pytest.fixture
def chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    monkeypatch.setenv("TAGGER_ALLOWED_ROOTS", str(tmp_path))
    # Its 28×28 network judges every photo: that is the one which corrections teach.
    monkeypatch.setenv("TAGGER_BUNDLE", str(without_photo_network(tmp_path / "base")))
    settings.cache_clear()
    with running(read_settings()) as system:
        yield system.settings


@pytest.fixture
def engine(chosen: Settings) -> Iterator[Engine]:
    engine = make_engine(chosen.database)
    yield engine
    engine.dispose()


def tagger(*arguments: str) -> Result:
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    return done


def tag(engine: Engine, chosen: Settings, jobs: Sequence[Job]) -> None:
    EnqueueClient(engine, broker_url=chosen.redis_url).enqueue_many(jobs, chunk_size=64)
    deadline = time.monotonic() + TIMEOUT_S
    while _unfinished(engine, [job.product_id for job in jobs]):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _unfinished(engine: Engine, ids: Sequence[str]) -> int:
    with reading(engine)() as session:
        return unfinished(session, ids)


def review(engine: Engine, truth: Truth, ids: set[str]) -> int:
    """A person says of each of these products that waits for one what it shows."""
    now = datetime.now(UTC)
    with sessions(engine).begin() as session:
        ada = person(session, f"Ada {now.microsecond}")
        waiting = session.scalars(
            select(ReviewItem)
            .where(ReviewItem.waits_for == WaitsFor.REVIEWER, ReviewItem.product_id.in_(ids))
            .where(ReviewItem.round == 1)
        ).all()
        for each in waiting:
            said = decision(session, each.tagging_id, Action.CORRECT, label=truth[each.product_id])
            decide(session, ada, said, now)
    return len(waiting)


def test_what_people_correct_is_learned_tried_promoted_and_used_by_the_next_run(
    shop: tuple[list[Job], Truth],
    chosen: Settings,
    engine: Engine,
    data_folder: Path,
    tmp_path: Path,
) -> None:
    jobs, truth = shop
    taught, shadowed, held = (
        {job.product_id for job in part}
        for part in (
            jobs[:TAUGHT],
            jobs[TAUGHT : TAUGHT + SHADOWED],
            jobs[TAUGHT + SHADOWED :],
        )
    )
    others = [job for job in jobs if job.product_id not in shadowed]
    tag(engine, chosen, others)

    reviews = review(engine, truth, taught)
    assert reviews > TAUGHT / 2
    tagger("export-corrections", "--output", str(tmp_path / "corrections.jsonl"))
    photos = read_photos(read_corrections(tmp_path / "corrections.jsonl").standing, chosen)
    learned = adapt(chosen.bundle, photos, data_folder, tmp_path / "adapted", QUICK, verify=False)
    assert learned.choice.name == "head"

    version = learned.model_version
    tagger("model", "add", str(tmp_path / "adapted"))
    tagger("model", "shadow", version, "--share", "1.0")
    tag(engine, chosen, [job for job in jobs if job.product_id in shadowed])
    review(engine, truth, shadowed)
    figures = json.loads(tagger("model", "compare", "serving", "shadow", "--json").stdout)
    assert figures["reviewed"]["verdict"] == "better"
    tagger("model", "promote", version)
    tagger("retag", "start", "--older-model")

    with reading(engine)() as session:
        current = select(Tagging.model_version).join(
            Product, Product.current_tagging_id == Tagging.id
        )
        assert set(session.scalars(current.where(Product.id.in_(held)))) == {version}
        reviewed = select(Product.reviewed_label).where(Product.id.in_(taught))
        said = reviewed.where(Product.status == ProductStatus.REVIEWED)
        assert len(session.scalars(said).all()) == reviews
