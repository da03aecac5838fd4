"""Whether two models differ on the same items, by an exact test that needs no library."""

from dataclasses import dataclass
from math import comb

LEVEL = 0.05


def mcnemar(only_first: int, only_second: int) -> float:
    """The exact two-sided p-value of McNemar's test (1947): a sign test on what differs.

    only_first, only_second: items that only this one has right. Were both equally good, each such
    item would be either's by the toss of a coin. 1.0 where nothing differs.
    """
    differing = only_first + only_second
    fewer = min(only_first, only_second)
    tail: int = sum(comb(differing, k) for k in range(fewer + 1))
    return float(min(1.0, 2 * tail / 2**differing))


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Two models on the same items whose truth a person told."""

    items: int
    first_right: int
    second_right: int
    only_first: int
    only_second: int

    @property
    def p_value(self) -> float:
        return mcnemar(self.only_first, self.only_second)

    @property
    def verdict(self) -> str:
        """Of the second: better, worse, no difference shown, or nothing to go by."""
        if not self.items:
            return "no evidence"
        if self.p_value >= LEVEL:
            return "no difference shown"
        return "better" if self.only_second > self.only_first else "worse"
