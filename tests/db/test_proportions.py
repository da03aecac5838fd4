import pytest

from db.proportions import Proportion, cohens_kappa


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
