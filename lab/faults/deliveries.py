"""Faults of what is delivered: poison, copies, disorder, clocks, and two models at once."""

import random
import shutil
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select, update

from catalog.bundle import read_manifest, write_manifest
from catalog.failures import FailureCode
from catalog.jobs import Job
from catalog.queues import INGEST_QUEUE
from db.engine import reading, sessions
from db.ledger.accepting import accept
from db.ledger.models import FailureRow, Product, Tagging
from lab.faults.cases import Case, FaultResult, Scale
from lab.faults.test_rig import FaultError, TestRig, wait_until_ready
from worker.reserved import record_keys, workers

POISONS = 2
VERSIONS = 50
JUMP = timedelta(hours=1)
NEWER = "newer-model"


def poison(scene: TestRig, scale: Scale, *, hangs: bool) -> FaultResult:
    """Pictures that kill or hang their process among good ones, singly and in a chunk."""
    good = scene.jobs("good", scale.items - POISONS)
    bad = [scene.bad_job(f"poison-{n}", hangs=hangs) for n in range(POISONS)]
    jobs = [*good[: len(good) // 4], bad[0], *good[len(good) // 4 :], *bad[1:]]
    ids = scene.enqueue(jobs)
    wanted = FailureCode.PROCESSING_TIMED_OUT if hangs else FailureCode.PROCESSING_CRASHED

    def wrong() -> int:
        with reading(scene.engine)() as session:
            letters = session.execute(select(FailureRow.subject, FailureRow.reason_code)).all()
        found = dict(letters)
        return len(set(found.items()) ^ {(job.product_id, wanted.value) for job in bad})

    return FaultResult(ids=ids, healed_at=time.monotonic(), failed=len(bad), wrong=wrong)


def crash(scene: TestRig, scale: Scale) -> FaultResult:
    return poison(scene, scale, hangs=False)


def hang(scene: TestRig, scale: Scale) -> FaultResult:
    return poison(scene, scale, hangs=True)


def deliver_three_times(scene: TestRig, scale: Scale) -> FaultResult:
    """Two workers receive the same message three times at once."""
    scene.system.start_worker(INGEST_QUEUE, 1, name="second")
    wait_until_ready(scene.system, "second")
    jobs = scene.jobs("triple", scale.items)
    with sessions(scene.engine).begin() as session:
        ids = accept(session, jobs, datetime.now(UTC))
    for job in jobs:
        scene.client.publish([job] * 3, ids)
    return FaultResult(ids=[job.product_id for job in jobs], healed_at=time.monotonic())


def deliver_out_of_order(scene: TestRig, scale: Scale) -> FaultResult:
    """Fifty acceptances of a product, each with another picture, arrive in any order."""
    products = max(4, scale.items // 10)
    messages: list[tuple[Job, str]] = []
    for version in range(VERSIONS):
        picture = scene.pictures[version].as_uri()
        jobs = [Job(product_id=f"disorder-{n:03d}", image_uri=picture) for n in range(products)]
        with sessions(scene.engine).begin() as session:
            ids = accept(session, jobs, datetime.now(UTC))
        messages += [(job, ids[job.product_id]) for job in jobs]
    random.Random(0).shuffle(messages)  # noqa: S311 - disorder, no secret
    for job, message_id in messages:
        scene.client.publish([job], {job.product_id: message_id})
    newest = scene.pictures[VERSIONS - 1].as_uri()
    names = [f"disorder-{n:03d}" for n in range(products)]

    def wrong() -> int:
        with reading(scene.engine)() as session:
            found = session.scalars(select(Product.image_uri).where(Product.id.in_(names))).all()
        return sum(uri != newest for uri in found)

    return FaultResult(
        ids=names, healed_at=time.monotonic(), wrong=wrong, note=f"{len(messages)} messages"
    )


def jump_clocks(scene: TestRig, scale: Scale) -> FaultResult:
    """The clock jumps an hour ahead, then two back, while items are under way.

    Staged from the other side: every stamp that was written before the jump is moved instead,
    in the ledger and in the broker's record of what is unacknowledged.
    """
    ids = scene.enqueue(scene.jobs("clock", scale.items))
    scene.wait_at_work()
    for jump in (JUMP, -2 * JUMP):
        _move_stamps(scene, -jump)
        time.sleep(0.5)
    return FaultResult(
        ids=ids, healed_at=time.monotonic(), note="stamps moved by 1 h and back by 2 h"
    )


def _move_stamps(scene: TestRig, by: timedelta) -> None:
    columns = ("published_at", "attempt_started_at", "next_attempt_at", "queued_at")
    with sessions(scene.engine).begin() as session:
        stamps = [getattr(Product, name) for name in columns]
        rows = session.execute(select(Product.id, *stamps).with_for_update()).all()
        moved = [
            {"id": row[0]}
            | {
                name: stamp + by if stamp else None
                for name, stamp in zip(columns, row[1:], strict=True)
            }
            for row in rows
        ]
        session.execute(update(Product), moved)
    for worker in workers(scene.redis):
        index = record_keys(worker)["unacked_index_key"]
        taken: Any = scene.redis.zrange(index, 0, -1, withscores=True)
        for tag, score in taken:
            scene.redis.zadd(index, {tag: score + by.total_seconds()}, xx=True)


def two_models(scene: TestRig, scale: Scale) -> FaultResult:
    """Two workers with different bundles receive every message, both at once."""
    folder = scene.system.settings.home / "bundle"
    shutil.copytree(scene.system.settings.bundle, folder)
    manifest = read_manifest(folder)
    newer = datetime.fromisoformat(manifest.created_at) + timedelta(days=1)
    write_manifest(folder, replace(manifest, model_version=NEWER, created_at=newer.isoformat()))
    scene.system.start_worker(
        INGEST_QUEUE, 1, name="second", environment={"TAGGER_BUNDLE": str(folder)}
    )
    wait_until_ready(scene.system, "second")
    jobs = scene.jobs("models", scale.items)
    with sessions(scene.engine).begin() as session:
        ids = accept(session, jobs, datetime.now(UTC))
    for job in jobs:
        scene.client.publish([job] * 2, ids)
    names = [job.product_id for job in jobs]

    def wrong() -> int:
        """Products that the newer model has seen and whose word is not the current one."""
        with reading(scene.engine)() as session:
            seen = session.scalars(
                select(Product.id)
                .join(Tagging, Tagging.product_id == Product.id)
                .where(Product.id.in_(names), Tagging.model_version == NEWER)
                .where(Product.current_tagging_id != Tagging.id)
            ).all()
            if not session.scalars(
                select(Tagging.id).where(Tagging.model_version == NEWER)
            ).first():
                raise FaultError("the second worker tagged nothing")
        return len(seen)

    return FaultResult(ids=names, healed_at=time.monotonic(), wrong=wrong)


CASES = [
    Case(name="an image that kills the process", play=crash),
    Case(name="an image that hangs", play=hang),
    Case(name="same message three times at once", play=deliver_three_times, bulk=False),
    Case(name="50 deliveries out of order", play=deliver_out_of_order, bulk=False),
    Case(name="clock jump", play=jump_clocks),
    Case(name="two workers with different bundles", play=two_models, bulk=False),
]
