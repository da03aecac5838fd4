import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import beta, binom, binomtest

from catalog.statistics import (
    Proportion,
    at_temperature,
    cohens_kappa,
    error_at_least,
    error_at_most,
    fit_temperature,
    log_sum_exp,
    negative_log_likelihood,
    softmax,
)

LEVEL = 0.95


def sampled(
    temperature: float, items: int = 20_000
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits, and labels drawn from their softmax at `temperature`."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (items, 10)).astype(np.float32)
    confidences = softmax(logits, temperature)
    drawn = (confidences.cumsum(axis=1) > rng.random((items, 1))).argmax(axis=1)
    return logits, drawn


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=10, max_size=10))
def test_confidences_sum_to_one_however_large_the_logits(row: list[float]) -> None:
    confidences = softmax(np.array([row], np.float32), 0.1)
    assert confidences.sum() == pytest.approx(1)
    assert np.isfinite(confidences).all()


def test_a_row_has_the_same_confidences_alone_and_among_others() -> None:
    logits, _ = sampled(1.0, 100)
    many = softmax(logits, 1.7)
    assert many.dtype == np.float64
    assert (many == [softmax(row, 1.7) for row in logits]).all()


def test_confidences_of_another_temperature_are_those_of_the_softmax() -> None:
    logits = np.random.default_rng(0).normal(size=(4, 10)) * 4
    found = at_temperature(softmax(logits, 0.7), 0.7, 1.9)
    np.testing.assert_allclose(found, softmax(logits, 1.9), rtol=1e-5)
    assert found.dtype == np.float32


@pytest.mark.parametrize("wanted", [0.5, 5.0])
def test_a_confidence_of_zero_survives_another_temperature(wanted: float) -> None:
    found = at_temperature(np.array([1.0] + [0.0] * 9), 1.0, wanted)
    assert found.argmax() == 0
    assert np.isfinite(found).all()


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_log_sum_exp_neither_overflows_nor_changes_the_type(kind: type[np.floating]) -> None:
    values = np.array([[1e3, 1e3, 0.0], [-1e3, -1e3, -2e3]], kind)
    found = log_sum_exp(values)
    assert found.dtype == kind
    np.testing.assert_allclose(found, logsumexp(values.astype(np.float64), axis=1), rtol=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_made_the_labels_is_found(temperature: float) -> None:
    logits, labels = sampled(temperature)
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.05)


def test_the_temperature_softens_what_is_too_sure_by_the_weights() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 10)) * 2
    honest = softmax(logits)
    truth = np.array([rng.choice(10, p=row) for row in honest])
    sure = honest**2 / (honest**2).sum(axis=1, keepdims=True)
    assert fit_temperature(np.log(sure), truth, np.ones(4000)) == pytest.approx(2.0, abs=0.1)
    # The same when every second photo stands for two and the others were not looked at.
    assert fit_temperature(np.log(sure[::2]), truth[::2], np.full(2000, 2.0)) == pytest.approx(
        2.0, abs=0.2
    )


def test_likelihood_of_a_known_case() -> None:
    confidences = np.array([[0.8, 0.2], [0.4, 0.6]])
    labels = np.array([0, 0])
    assert negative_log_likelihood(confidences, labels) == pytest.approx(
        -(np.log(0.8) + np.log(0.4)) / 2
    )
    weighed = negative_log_likelihood(confidences, labels, np.array([3.0, 1.0]))
    assert weighed == pytest.approx(-(3 * np.log(0.8) + np.log(0.4)) / 4)


@pytest.mark.parametrize(
    ("wrong", "count"), [(0, 1), (0, 99), (1, 10), (9, 10), (7, 300), (120, 4000), (3000, 200_000)]
)
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_the_bounds_are_those_of_clopper_and_pearson(wrong: int, count: int, level: float) -> None:
    upper = beta.ppf(level, wrong + 1, count - wrong)
    assert error_at_most(wrong, count, level) == pytest.approx(upper, abs=1e-9)
    lower = beta.ppf(1 - level, wrong, count - wrong + 1) if wrong else 0.0
    assert error_at_least(wrong, count, level) == pytest.approx(lower, abs=1e-9)


@pytest.mark.parametrize(("wrong", "accepted"), [(0, 300), (3, 1000), (17, 2000)])
def test_the_bound_is_the_error_rate_that_would_hardly_show_so_few_errors(
    wrong: int, accepted: int
) -> None:
    bound = error_at_most(wrong, accepted, LEVEL)
    assert binom.cdf(wrong, accepted, bound) == pytest.approx(0.05, abs=1e-6)


def test_nothing_known_bounds_nothing() -> None:
    assert error_at_most(0, 0, LEVEL) == 1.0
    assert error_at_least(0, 0, LEVEL) == 0.0
    assert error_at_most(3, 3, LEVEL) == 1.0


@pytest.mark.parametrize(
    ("right", "whole", "low", "high"),
    [
        # Newcombe 1998, Table I, method 3 (Wilson's score without continuity correction).
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_interval_is_that_of_the_literature(
    right: int, whole: int, low: float, high: float
) -> None:
    found = Proportion(right=right, whole=whole).interval
    assert found == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("right", "whole"), [(0, 7), (510, 624), (624, 624)])
def test_interval_is_that_of_another_implementation(right: int, whole: int) -> None:
    expected = binomtest(right, whole).proportion_ci(0.95, method="wilson")
    assert Proportion(right=right, whole=whole).interval == pytest.approx(expected, abs=1e-12)


def test_nothing_known_says_nothing() -> None:
    assert Proportion.of([]).share is None
    assert Proportion.of([]).interval == (0.0, 1.0)


def test_kappa_is_agreement_beyond_chance() -> None:
    # The textbook's example: 20 and 15 agree, 5 and 10 do not; kappa is 0.4.
    pairs = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    assert cohens_kappa(pairs) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("pairs", "kappa"),
    [
        ([], None),
        ([("a", "a")] * 5, None),
        ([("a", "a"), ("b", "b")], 1.0),
        ([("a", "b"), ("b", "a")], -1.0),
    ],
)
def test_kappa_at_its_ends(pairs: list[tuple[str, str]], kappa: float | None) -> None:
    assert cohens_kappa(pairs) == kappa
