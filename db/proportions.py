"""Proportions with their uncertainty, and agreement beyond chance."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Z_95 = 1.959963984540054


@dataclass(frozen=True, kw_only=True)
class Proportion:
    """`right` of `whole`."""

    right: int
    whole: int

    @classmethod
    def of(cls, outcomes: Iterable[bool]) -> "Proportion":
        """Count outcomes."""
        known = list(outcomes)
        return cls(right=sum(known), whole=len(known))

    @property
    def share(self) -> float | None:
        """0-1; None of nothing."""
        return self.right / self.whole if self.whole else None

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of Wilson (1927), which holds for few samples and shares near 1.

        Nothing known gives 0 to 1.
        """
        if not self.whole:
            return 0.0, 1.0
        n, share = self.whole, self.right / self.whole
        centre = (share + Z_95**2 / (2 * n)) / (1 + Z_95**2 / n)
        half = math.sqrt(share * (1 - share) / n + Z_95**2 / (4 * n * n)) / (1 + Z_95**2 / n)
        return max(0.0, centre - Z_95 * half), min(1.0, centre + Z_95 * half)


def cohens_kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """How far two people agree beyond chance: 1 always, 0 as chance would (Cohen 1960).

    None without pairs, and where chance alone explains all: both always say the same one label.
    """
    if not pairs:
        return None
    n = len(pairs)
    observed = sum(first == second for first, second in pairs) / n
    firsts, seconds = (Counter(each[side] for each in pairs) for side in (0, 1))
    by_chance = sum(firsts[label] * seconds[label] for label in firsts) / n**2
    return None if by_chance == 1 else (observed - by_chance) / (1 - by_chance)
