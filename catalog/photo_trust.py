"""When a shop's own reviews show that a class may be accepted without a person looking.

What people review is no random sample of what the machine accepts: flagged items are the hard
ones. So photos of one predicted class are taken apart by how they came before a person:

- flagged for their confidence alone: all of them wait for a person. Taken in the order in which
  they came, as far as (nearly) all have been reviewed; one that still waits counts as wrong. So it
  does not matter which ones the reviewers chose to look at first.
- accepted: only audit samples are looked at, and those are drawn by lot.

Each part gets its own Clopper-Pearson bound, and the parts are weighed by how many photos each
has, reviewed or not. What is flagged for another reason would be flagged at any confidence, and
is left out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from catalog.acceptance import NEVER
from catalog.statistics import error_at_least, error_at_most

# Tried from strict to lax, in this order, whatever the reviews say (fixed-sequence testing).
CONFIDENCES = (0.999, 0.995, 0.99, 0.98, 0.97, 0.95, 0.925, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5)
# Of the flagged photos looked at so far, so many may still wait for a person.
WAITING_MAX = 0.005
REVIEWS_MIN = 50  # for a temperature
MORE_MAX = 10_000


@dataclass(frozen=True, kw_only=True)
class Photos:
    """N photos of one model version, oldest first, as bool (N,) unless said otherwise.

    confidence: float (N,), of the label given. accepted: no person need look (audit samples are
    among them); otherwise flagged for confidence alone. reviewed: a person has; right: and said
    the same; asked: is or was in the queue.
    """

    confidence: NDArray[np.float64]
    accepted: NDArray[np.bool_]
    asked: NDArray[np.bool_]
    reviewed: NDArray[np.bool_]
    right: NDArray[np.bool_]

    def take(self, index: NDArray[np.bool_]) -> "Photos":
        """Those where `index` is true."""
        return Photos(**{name: getattr(self, name)[index] for name in self.__dataclass_fields__})


@dataclass(frozen=True, kw_only=True)
class Part:
    """Photos that came before a person in one way: all of them, those counted, and right ones."""

    whole: int
    counted: int
    right: int


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known of a class at and above one confidence.

    error_at_most and error_at_least bound the error rate of what would be accepted, 0-1.
    """

    confidence_min: float
    parts: tuple[Part, ...]
    error_at_most: float
    error_at_least: float

    @property
    def reviewed(self) -> int:
        """How many photos count."""
        return sum(part.counted for part in self.parts)

    @property
    def right(self) -> int:
        """How many of these are right."""
        return sum(part.right for part in self.parts)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a class has earned: the confidence from which it is accepted, or NEVER; None where the
    evidence speaks neither for trust nor against the cautious rule."""

    label: str
    confidence_min: float | None
    evidence: Evidence
    more_right: int | None  # right reviews that are missing, None above MORE_MAX


def evidence(photos: Photos, confidence_min: float, level: float) -> Evidence:
    """Bounds on the error of photos (of one predicted class) at and above a confidence."""
    above = photos.take(photos.confidence >= confidence_min)
    parts = tuple(
        part
        for part in (_part(above.take(~above.accepted)), _part(above.take(above.accepted)))
        if part.whole
    )
    return _bounded(confidence_min, parts, level)


def verdict(
    label: str, photos: Photos, *, now_from: float, precision: float, level: float
) -> Verdict:
    """Whether photos of this class have earned trust; `now_from` is the rule in force.

    The sequence starts at the strictest confidence at which trust could be earned by the number
    of reviews alone, goes down to the first that fails, and the last that passed is taken.
    """
    chosen: Evidence | None = None
    for confidence_min in CONFIDENCES:
        found = evidence(photos, confidence_min, level)
        if _if_all_right(found, 0, level) > 1 - precision:
            continue
        if found.error_at_most > 1 - precision:
            break
        chosen = found
    if chosen is not None:
        return Verdict(
            label=label, confidence_min=chosen.confidence_min, evidence=chosen, more_right=0
        )
    now = evidence(photos, min(now_from, 1.0), level)
    refuted = now.error_at_least > 1 - precision
    return Verdict(
        label=label,
        confidence_min=NEVER if refuted else None,
        evidence=now,
        more_right=_missing(photos, precision, level),
    )


def _part(photos: Photos) -> Part:
    """Count what has been looked at, in the order in which it came."""
    whole = len(photos.confidence)
    asked = photos.take(photos.asked)
    waiting = np.cumsum(~asked.reviewed)
    number = np.arange(1, len(waiting) + 1)
    good = np.flatnonzero(asked.reviewed & (waiting <= WAITING_MAX * number))
    counted = int(good[-1]) + 1 if good.size else 0
    return Part(whole=whole, counted=counted, right=int(asked.right[:counted].sum()))


def _bounded(confidence_min: float, parts: Sequence[Part], level: float) -> Evidence:
    whole = sum(part.whole for part in parts)
    # The doubt is shared between the parts.
    shared = 1 - (1 - level) / max(1, len(parts))
    most = sum(
        part.whole * error_at_most(part.counted - part.right, part.counted, shared)
        for part in parts
    )
    least = sum(
        part.whole * error_at_least(part.counted - part.right, part.counted, shared)
        for part in parts
    )
    return Evidence(
        confidence_min=confidence_min,
        parts=tuple(parts),
        error_at_most=most / whole if whole else 1.0,
        error_at_least=least / whole if whole else 0.0,
    )


def _if_all_right(found: Evidence, more: int, level: float) -> float:
    """The bound if all counted photos were right, and so many more, spread as the photos are."""
    parts = _with_more(found.parts, more, forgive=True)
    return _bounded(found.confidence_min, parts, level).error_at_most


def _with_more(parts: Sequence[Part], more: int, *, forgive: bool) -> list[Part]:
    whole = sum(part.whole for part in parts)
    added = [math.ceil(more * part.whole / whole) if whole else more for part in parts]
    return [
        Part(
            whole=part.whole,
            counted=part.counted + extra,
            right=(part.counted if forgive else part.right) + extra,
        )
        for part, extra in zip(parts, added, strict=True)
    ]


def _missing(photos: Photos, precision: float, level: float) -> int | None:
    """The fewest right reviews that would earn trust at some confidence; None above MORE_MAX."""
    candidates = [evidence(photos, least, level) for least in CONFIDENCES]
    needed = [
        _more_for(found.parts or (Part(whole=1, counted=0, right=0),), precision, level)
        for found in candidates
    ]
    return min((each for each in needed if each is not None), default=None)


def _more_for(parts: Sequence[Part], precision: float, level: float) -> int | None:
    def bound(more: int) -> float:
        return _bounded(0.0, _with_more(parts, more, forgive=False), level).error_at_most

    if bound(MORE_MAX) > 1 - precision:
        return None
    low, high = 0, MORE_MAX
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if bound(middle) <= 1 - precision else (middle, high)
    return high
