import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import beta, binom, binomtest
from scipy.stats import f as f_distribution

from catalog.statistics import (
    Proportion,
    at_temperature,
    cohens_kappa,
    drift,
    error_at_least,
    error_at_most,
    f_tail,
    fit_temperature,
    holm,
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


@given(
    st.floats(1e-3, 50), st.integers(min_value=1, max_value=80), st.integers(1, 3_000)
)  # fmt: skip
def test_tail_of_the_f_distribution(value: float, numerator: int, denominator: int) -> None:
    assert f_tail(value, numerator, denominator) == pytest.approx(
        float(f_distribution.sf(value, numerator, denominator)), rel=1e-6, abs=1e-12
    )


def test_holm_raises_p_values_step_by_step() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def days(
    rng: np.random.Generator, mix: NDArray[np.float64], size: int, spread: float | None, last: int
) -> NDArray[np.int64]:
    """Counts of 29 days; spread: how alike the days' own mixes are, None: quite.

    last: by how much the last day is larger.
    """
    mixes = np.tile(mix, (29, 1)) if spread is None else rng.dirichlet(mix * spread, size=29)
    sizes = rng.poisson(size, 29)
    sizes[-1] *= last
    return np.stack([rng.multinomial(n, own) for n, own in zip(sizes, mixes, strict=True)])


@pytest.mark.parametrize(
    ("size", "spread", "last"),
    [(60, None, 1), (3_000, None, 3), (60, 100.0, 1), (3_000, 100.0, 1), (3_000, 1_000.0, 3)],
)
def test_nights_without_a_change_raise_no_more_false_alarms_than_promised(
    size: int, spread: float | None, last: int
) -> None:
    """Each night compares two hosts by four measures; days may differ more than items do."""
    rng = np.random.default_rng(7)
    nights, level, alarms = 150, 0.05, 0
    mixes = [rng.dirichlet(np.ones(bins)) for bins in (17, 14, 2, 10)]
    for _ in range(nights):
        counted = [days(rng, mix, size, spread, last) for mix in mixes for _ in range(2)]
        judged = [drift(each[:-1], each[-1]) for each in counted]
        alarms += min(holm([each.p for each in judged if each])) <= level
    # As many as chance alone has in one of a thousand such tests.
    assert alarms <= binom.ppf(0.999, nights, level)


def test_a_bin_that_was_never_seen_is_news_however_few_items_there_are() -> None:
    before = np.tile(np.array([59, 1, 0]), (28, 1))
    judged = drift(before, np.array([30, 0, 30]))
    assert judged is not None
    assert judged.p < 1e-6


@pytest.mark.parametrize(("spread", "found_at_least"), [(None, 0.99), (1_000.0, 0.9)])
def test_a_true_shift_is_found(spread: float | None, found_at_least: float) -> None:
    """A tenth of 500 items is called something else than in the 28 days before."""
    rng = np.random.default_rng(8)
    mix = np.full(10, 0.1)
    shifted = mix.copy()
    shifted[[0, 1]] += (0.1, -0.1)
    found = 0
    for _ in range(100):
        before = days(rng, mix, 500, spread, 1)[:-1]
        own = shifted if spread is None else rng.dirichlet(shifted * spread + 1e-6)
        judged = drift(before, rng.multinomial(500, own))
        assert judged is not None
        assert 0.02 < judged.moved < 0.25
        found += judged.p * 20 <= 0.01
    assert found / 100 >= found_at_least


def test_two_deliveries_that_differ_as_all_before_are_no_drift() -> None:
    """Every other day brings shoes only: a plain chi-square would cry wolf each night."""
    shoes, shirts = np.array([400, 20, 20]), np.array([20, 400, 20])
    before = np.stack([shoes, shirts] * 14)
    judged = drift(before, shoes)
    assert judged is not None
    assert judged.alike > 0.3
    assert judged.p > 0.05


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (np.full((2, 3), 50), np.full(3, 50)),  # two days say nothing of how days differ
        (np.full((28, 3), 50), np.full(3, 6)),
        (np.full((28, 1), 50), np.full(1, 50)),
        (np.zeros((28, 3), np.int64), np.full(3, 50)),
    ],
)
def test_too_little_is_not_judged(before: NDArray[np.int64], after: NDArray[np.int64]) -> None:
    assert drift(before, after) is None
