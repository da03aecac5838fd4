"""The main job, as an ingest system sees it."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from catalog.jobs import Job, file_job
from catalog.sample import SamplePicture, write_pictures
from catalog.status import ProductStatus
from db.engine import reading
from db.ledger.models import FailureRow, Product, Tagging, Thumbnail
from db.ledger.results import ProductResult
from tests.integration.battery import BAD_FILES, ODD_FILES, POOR_FILES
from worker.app import app
from worker.broker import celery_url
from worker.client import EnqueueClient
from worker.local.stack import LocalStack

pytestmark = pytest.mark.integration

Outcomes = Callable[[list[str]], dict[str, ProductResult]]
TAGGED = {ProductStatus.TAGGED, ProductStatus.NEEDS_REVIEW}


@pytest.fixture
def pictures(tmp_path: Path) -> list[SamplePicture]:
    return write_pictures(tmp_path / "pictures")[::3]


def jobs_of(pictures: list[SamplePicture]) -> list[Job]:
    return [file_job(picture.path, picture.product_id) for picture in pictures]


def count(session: Session, table: type) -> int:
    return session.scalar(select(func.count()).select_from(table)) or 0


def test_singles_and_chunks_are_tagged_stored_and_mostly_right(
    client: EnqueueClient,
    outcomes: Outcomes,
    pictures: list[SamplePicture],
    system_engine: Engine,
) -> None:
    jobs = jobs_of(pictures)
    client.enqueue_singles(jobs[::2])
    client.enqueue_many(jobs[1::2], chunk_size=32)
    found = outcomes([job.product_id for job in jobs])
    right = [found[each.product_id].label == each.label for each in pictures]
    assert np.mean(right) > 0.85
    assert {each.status for each in found.values()} <= TAGGED
    with reading(system_engine)() as session:
        assert count(session, Product) == count(session, Tagging) == len(jobs)
        picture = session.scalars(select(Thumbnail)).first()
        assert picture is not None
        overlay = cv2.imdecode(np.frombuffer(picture.overlay_jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert overlay.shape == (128, 128, 3)
        tagging = session.scalars(select(Tagging)).first()
        assert tagging is not None
        assert sum(tagging.confidences) == pytest.approx(1, abs=1e-4)
        assert max(tagging.confidences) == pytest.approx(tagging.confidence, abs=1e-5)


def test_single_and_chunk_give_the_same_label_and_confidence(
    client: EnqueueClient, outcomes: Outcomes, pictures: list[SamplePicture]
) -> None:
    some = jobs_of(pictures)[:50]
    twins = [job.model_copy(update={"product_id": f"twin-{job.product_id}"}) for job in some]
    client.enqueue_singles(some)
    client.enqueue_many(twins, chunk_size=50)
    found = outcomes([job.product_id for job in [*some, *twins]])
    for job, twin in zip(some, twins, strict=True):
        one, other = found[job.product_id], found[twin.product_id]
        assert (one.label, one.confidence) == (other.label, other.confidence)


def test_redelivered_job_writes_one_row(
    client: EnqueueClient,
    outcomes: Outcomes,
    pictures: list[SamplePicture],
    system_engine: Engine,
) -> None:
    jobs = jobs_of(pictures)[:20]
    for _ in range(3):
        client.publish(jobs)
        client.publish_chunk(jobs)
    ids = [job.product_id for job in jobs]
    outcomes(ids)
    client.publish(jobs)
    # One more product behind them: when it is done, the redelivered ones were met.
    client.publish([jobs[0].model_copy(update={"product_id": "behind them"})])
    outcomes(["behind them"])
    with reading(system_engine)() as session:
        assert count(session, Tagging) == len(jobs) + 1
        assert count(session, Product) == len(jobs) + 1


def test_plain_celery_sender_needs_nothing_of_ours(
    system: LocalStack, outcomes: Outcomes, pictures: list[SamplePicture]
) -> None:
    """The sender's process has Celery on its path and none of the project's packages."""
    picture = pictures[0]
    code = (
        "import json, sys\n"
        "sys.path[:] = [each for each in sys.path if each]\n"
        "sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in str(f).lower()]\n"
        "from celery import Celery\n"
        "url, kwargs, chunk = json.loads(sys.argv[1])\n"
        "app = Celery(broker=url)\n"
        "app.send_task('worker.tag_product', kwargs=kwargs, queue='ingest')\n"
        "app.send_task('worker.tag_product', args=['by position', kwargs['image_uri']],"
        " queue='ingest')\n"
        "app.send_task('worker.tag_chunk', kwargs={'jobs': chunk}, queue='bulk')\n"
        "assert not {'catalog', 'db', 'worker'} & set(sys.modules)\n"
    )
    assert system.settings.redis_url is not None
    url = system.settings.redis_url.replace("unix://", "redis+socket://")
    uri = picture.path.as_uri()
    chunk = [{"product_id": f"chunk-{n}", "image_uri": uri} for n in range(3)]
    arguments = json.dumps([url, {"product_id": "plain", "image_uri": uri}, chunk])
    subprocess.run([sys.executable, "-I", "-c", code, arguments], check=True)
    found = outcomes(["plain", "by position", "chunk-0", "chunk-1", "chunk-2"])
    assert {each.status for each in found.values()} <= TAGGED


def test_bad_files_fail_alone_with_a_reason_a_person_can_act_on(
    client: EnqueueClient,
    outcomes: Outcomes,
    pictures: list[SamplePicture],
    system_engine: Engine,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    bad = []
    for name, data in BAD_FILES.items():
        (folder / name).write_bytes(data)
        bad.append(file_job(folder / name, f"bad-{name}"))
    bad += [
        Job(product_id="bad-missing", image_uri=(folder / "missing.jpg").as_uri()),
        Job(product_id="bad-outside", image_uri="file:///etc/hostname"),
        Job(product_id="bad-dots", image_uri=f"file://{tmp_path}/bad/../../../etc/hostname"),
        Job(product_id="bad-scheme", image_uri="gopher://example.com/a.jpg"),
    ]
    good = jobs_of(pictures)[: len(bad)]
    mixed = [job for pair in zip(bad, good, strict=True) for job in pair]
    client.enqueue_singles(mixed)
    again = [job.model_copy(update={"product_id": f"chunk-{job.product_id}"}) for job in mixed]
    client.enqueue_many(again)
    found = outcomes([job.product_id for job in [*mixed, *again]])
    for job in good:
        assert found[job.product_id].status in TAGGED
        assert found[f"chunk-{job.product_id}"].status in TAGGED
    for job in bad:
        failed = found[job.product_id]
        assert failed.status == ProductStatus.FAILED, job
        assert failed.failure_code != "internal_error", failed
        assert failed.failure_detail is not None
        assert len(failed.failure_detail) > 20
        assert found[f"chunk-{job.product_id}"].failure_code == failed.failure_code
    with reading(system_engine)() as session:
        assert count(session, FailureRow) == 2 * len(bad)


def test_odd_files_are_tagged_and_what_shows_nothing_is_flagged(
    client: EnqueueClient, outcomes: Outcomes, tmp_path: Path
) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    for name, data in ODD_FILES.items():
        (folder / name).write_bytes(data)
    client.enqueue_many(file_job(folder / name, name) for name in ODD_FILES)
    found = outcomes(list(ODD_FILES))
    assert {name: each.failure_detail for name, each in found.items() if each.failure_code} == {}
    assert {name for name, each in found.items() if "poor_image" in each.reasons} >= POOR_FILES


def test_malformed_messages_become_failure_rows_and_the_worker_lives(
    system: LocalStack,
    client: EnqueueClient,
    outcomes: Outcomes,
    pictures: list[SamplePicture],
    system_engine: Engine,
) -> None:
    assert system.settings.redis_url is not None
    good = jobs_of(pictures)[:5]
    wrong = [{}, {"product_id": 7}, {"product_id": "a", "image_uri": "b", "colour": "red"}]
    with app.connection_for_write(celery_url(system.settings.redis_url)) as connection:
        send = {"connection": connection}
        for payload in wrong:
            app.send_task("worker.tag_product", kwargs=payload, queue="ingest", **send)
        app.send_task("worker.tag_product", args=[1, 2, 3, 4], queue="ingest", **send)
        app.send_task("worker.tag_chunk", kwargs={"jobs": "no list"}, queue="bulk", **send)
        app.send_task(
            "worker.tag_chunk", kwargs={"jobs": [None, "x", *wrong]}, queue="bulk", **send
        )
    client.enqueue_singles(good)
    client.enqueue_many(
        [job.model_copy(update={"product_id": f"c{job.product_id}"}) for job in good]
    )
    outcomes([each.product_id for each in good] + [f"c{each.product_id}" for each in good])
    deadline = time.monotonic() + 10
    letters: list[FailureRow] = []
    while time.monotonic() < deadline and len(letters) < 7:
        with reading(system_engine)() as session:
            letters = list(session.scalars(select(FailureRow)))
        time.sleep(0.1)
    assert {letter.reason_code for letter in letters} == {"malformed_payload"}
    assert len(letters) == 7
    assert all("Expected" in letter.detail for letter in letters)


def test_declared_label_that_disagrees_is_flagged(
    client: EnqueueClient, outcomes: Outcomes, pictures: list[SamplePicture]
) -> None:
    picture = next(each for each in pictures if each.label == "trouser")
    client.enqueue(file_job(picture.path, "declared", declared_label="bag"))
    assert "declared_label_conflict" in outcomes(["declared"])["declared"].reasons
