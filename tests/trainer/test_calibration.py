import numpy as np
import pytest

from catalog.statistics import softmax
from trainer.calibration import brier_score, expected_calibration_error


def test_confidences_that_are_true_have_no_calibration_error() -> None:
    rng = np.random.default_rng(0)
    confidences = softmax(rng.normal(0, 3, (20_000, 10)))
    labels = (confidences.cumsum(axis=1) > rng.random((20_000, 1))).argmax(axis=1)
    right = confidences.argmax(axis=1) == labels
    assert expected_calibration_error(confidences.max(axis=1), right) < 0.01
    assert expected_calibration_error(confidences.max(axis=1), right, adaptive=True) < 0.01


def test_the_calibration_error_of_a_known_case() -> None:
    # Ten items at 0.9, six right; ten at 0.5, five right: (0.3 · 10 + 0 · 10) / 20.
    confidence = np.repeat([0.9, 0.5], 10)
    right = np.concatenate([np.arange(10) < 6, np.arange(10) < 5])
    assert expected_calibration_error(confidence, right) == pytest.approx(0.15)


def test_brier_score_of_a_known_case() -> None:
    confidences = np.array([[0.8, 0.2], [0.4, 0.6]])
    labels = np.array([0, 0])
    assert brier_score(confidences, labels) == pytest.approx((0.04 + 0.04 + 0.36 + 0.36) / 2)
