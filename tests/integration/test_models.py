"""Promotion in the running system: real workers, real traffic."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from catalog.bundle import read_manifest
from catalog.jobs import Job, file_job
from catalog.sample import write_pictures
from catalog.settings import SHIPPED_BUNDLE
from db.engine import reading, sessions
from db.ledger.models import Product, Tagging
from db.ledger.results import ProductResult
from db.registry import bundles as registry
from tests.bundles import OTHER_LABELS, promote, register, variant
from worker.client import EnqueueClient
from worker.local.stack import LocalStack

pytestmark = pytest.mark.integration

Outcomes = Callable[[list[str]], dict[str, ProductResult]]
SHIPPED = read_manifest(SHIPPED_BUNDLE).model_version
SWITCH_S_MAX = 20.0  # a heartbeat is 5 s; the machine may be busy


@pytest.fixture
def traffic(client: EnqueueClient, tmp_path: Path) -> Iterator[list[Job]]:
    """New products without end, a handful of singles and a chunk at a time; lists what was sent."""
    pictures = write_pictures(tmp_path / "pictures")

    def send() -> Iterator[list[Job]]:
        number = 0
        while True:
            some = [
                file_job(pictures[place % len(pictures)].path, f"p{place:05d}")
                for place in range(number, number + 30)
            ]
            number += len(some)
            client.enqueue_singles(some[:20])
            client.enqueue_many(some[20:], chunk_size=10)
            yield some

    return send()


def test_promotion_and_rollback_under_traffic_mix_no_batch_and_lose_no_item(
    system: LocalStack,
    system_engine: Engine,
    traffic: Iterator[list[Job]],
    outcomes: Outcomes,
    tmp_path: Path,
) -> None:
    sent: list[str] = []

    def until_current_is(version: str) -> float:
        """Send on until the newest products have the word of this model."""
        started = time.monotonic()
        while time.monotonic() < started + SWITCH_S_MAX:
            names = [job.product_id for job in next(traffic)]
            sent.extend(names)
            outcomes(names)
            if models_of(system_engine, names) == {version}:
                return time.monotonic() - started
        pytest.fail(f"{version} does not serve after {SWITCH_S_MAX} s")

    until_current_is(SHIPPED)
    other = variant(tmp_path, "other", labels=OTHER_LABELS)
    promote(system_engine, register(system.settings, system_engine, other))
    until_current_is("other")
    with sessions(system_engine).begin() as session:
        registry.rollback(session, by="test", now=datetime.now(UTC))
    until_current_is(SHIPPED)

    with reading(system_engine)() as session:
        taggings = session.scalars(select(Tagging)).all()
    assert sorted(each.product_id for each in taggings) == sorted(sent)
    # All of a batch is stored by one transaction with one stamp.
    batches = defaultdict(set)
    for each in taggings:
        batches[each.tagged_at].add(each.model_version)
    assert all(len(models) == 1 for models in batches.values())
    assert {SHIPPED, "other"} == {each.model_version for each in taggings}


def models_of(engine: Engine, names: list[str]) -> set[str]:
    with reading(engine)() as session:
        current = select(Tagging.model_version).join(
            Product, Product.current_tagging_id == Tagging.id
        )
        return set(session.scalars(current.where(Product.id.in_(names))))
