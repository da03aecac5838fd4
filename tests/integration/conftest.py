"""The running system: real broker, real workers, both databases."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from catalog.settings import read_settings
from db.engine import make_engine, reading
from db.ledger.results import ProductResult, results, unfinished
from worker.client import EnqueueClient
from worker.local.stack import LocalStack, running

TIMEOUT_S = 60.0


@pytest.fixture
def system(database_url: str, tmp_path: Path) -> Iterator[LocalStack]:
    chosen = read_settings(
        home=tmp_path / "home", database_url=database_url, allowed_roots=(tmp_path,)
    )
    with running(chosen) as system:
        yield system


@pytest.fixture
def system_engine(system: LocalStack) -> Iterator[Engine]:
    engine = make_engine(system.settings.database)
    yield engine
    engine.dispose()


@pytest.fixture
def client(system: LocalStack, system_engine: Engine) -> EnqueueClient:
    return EnqueueClient(system_engine, broker_url=system.settings.redis_url)


@pytest.fixture
def outcomes(
    system: LocalStack, system_engine: Engine
) -> Callable[[list[str]], dict[str, ProductResult]]:
    """Wait until every one of these products has an outcome, and return the outcomes."""

    def wait(product_ids: list[str]) -> dict[str, ProductResult]:
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            system.require_alive()
            with reading(system_engine)() as session:
                if not unfinished(session, product_ids):
                    return {each.product_id: each for each in results(session, product_ids)}
            if time.monotonic() > deadline:
                pytest.fail(f"no outcome within {TIMEOUT_S} s")
            time.sleep(0.05)

    return wait
