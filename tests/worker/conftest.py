from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.local.embedded import EmbeddedBroker


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    broker = EmbeddedBroker(tmp_path / "queue")
    yield broker
    broker.stop()
