"""Sizes follow from costs, and the queue's do not follow from the catalog's."""

import pytest

from catalog.settings import read_settings
from lab.scale.sizing import Costs, broker_bytes, needs


def test_needs_are_costs_times_items() -> None:
    costs = Costs(items_per_s=100, product_bytes=400, tagging_bytes=600, thumbnail_bytes=4000)
    small, _, large = needs(costs)
    assert small.one_child_h == pytest.approx(2.78, abs=0.01)
    assert (small.children, large.children) == (1, 35)
    assert (small.lean_gb, small.full_gb, small.night_gb) == pytest.approx((1.0, 5.0, 4.6))


def test_broker_holds_a_set_number_of_chunks() -> None:
    one = broker_bytes(read_settings(retag_chunks_max=1))
    assert broker_bytes(read_settings(retag_chunks_max=32)) == 32 * one
    assert broker_bytes(read_settings(retag_chunks_max=1, chunk_size=256)) > 1.9 * (one - 1000)
