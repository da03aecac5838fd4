import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from trainer.calibration import (
    brier_score,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    softmax,
)


def sampled(
    temperature: float, items: int = 20_000
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits, and labels drawn from their softmax at `temperature`."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (items, 10)).astype(np.float32)
    confidences = softmax(logits, temperature)
    drawn = (confidences.cumsum(axis=1) > rng.random((items, 1))).argmax(axis=1)
    return logits, drawn


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_made_the_labels_is_found(temperature: float) -> None:
    logits, labels = sampled(temperature)
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.05)


def test_confidences_that_are_true_have_no_calibration_error() -> None:
    logits, labels = sampled(1.0)
    confidences = softmax(logits)
    right = confidences.argmax(axis=1) == labels
    assert expected_calibration_error(confidences.max(axis=1), right) < 0.01
    assert expected_calibration_error(confidences.max(axis=1), right, adaptive=True) < 0.01


def test_the_calibration_error_of_a_known_case() -> None:
    # Ten items at 0.9, six right; ten at 0.5, five right: (0.3 · 10 + 0 · 10) / 20.
    confidence = np.repeat([0.9, 0.5], 10)
    right = np.concatenate([np.arange(10) < 6, np.arange(10) < 5])
    assert expected_calibration_error(confidence, right) == pytest.approx(0.15)


def test_likelihood_and_brier_score_of_a_known_case() -> None:
    confidences = np.array([[0.8, 0.2], [0.4, 0.6]])
    labels = np.array([0, 0])
    assert negative_log_likelihood(confidences, labels) == pytest.approx(
        -(np.log(0.8) + np.log(0.4)) / 2
    )
    assert brier_score(confidences, labels) == pytest.approx((0.04 + 0.04 + 0.36 + 0.36) / 2)


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=10, max_size=10))
def test_confidences_sum_to_one_however_large_the_logits(row: list[float]) -> None:
    confidences = softmax(np.array([row], np.float32), 0.1)
    assert confidences.sum() == pytest.approx(1)
    assert np.isfinite(confidences).all()
