import numpy as np
import pytest

from trainer.risk_coverage import risk_coverage


def test_the_curve_of_a_known_case() -> None:
    confidence = np.array([0.9, 0.8, 0.7, 0.6])
    right = np.array([True, True, False, True])
    curve = risk_coverage(confidence, right)
    assert curve.coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert curve.risk == pytest.approx([0, 0, 1 / 3, 1 / 4])
    assert curve.coverage_at(0.99) == 0.5
    assert curve.coverage_at(0.75) == 1.0
    assert curve.area == pytest.approx((1 / 3 + 1 / 4) / 4)


def test_no_coverage_where_even_the_surest_is_wrong() -> None:
    curve = risk_coverage(np.array([0.9, 0.8]), np.array([False, False]))
    assert curve.coverage_at(0.99) == 0.0
