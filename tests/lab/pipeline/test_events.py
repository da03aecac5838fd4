from pathlib import Path

import pytest
from sqlalchemy import func, select

from db.engine import make_engine, reading
from db.events.models import EventRow
from db.ledger.models import Product
from lab.pipeline import events
from tests.factories import manifest


def test_half_of_the_batches_are_recorded_without_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "TURNS", 2)
    monkeypatch.setattr(events, "BATCH", 8)
    url = f"sqlite:///{tmp_path / 'events.db'}"
    costs = events.measure(url, manifest())
    assert costs.recording > 0
    assert costs.reading > 0
    engine = make_engine(url)
    with reading(engine)() as session:
        assert session.scalar(select(func.count()).select_from(Product)) == 32
        told = session.scalars(select(EventRow.product_id)).all()
    engine.dispose()
    assert len(told) == 16
    assert all(each is not None and each.startswith("b") for each in told)
