"""What the reviews of one tagging add up to: pure rules, no database."""

from collections.abc import Sequence
from dataclasses import dataclass

from catalog.sampling import drawn
from db.review.models import Action, Review, Role, WaitsFor

NO_DECISION = (Action.SKIP, Action.UNDO)


@dataclass(frozen=True, kw_only=True)
class Opinion:
    """One decision that nobody has taken back."""

    label: str
    role: Role


@dataclass(frozen=True, kw_only=True)
class Standing:
    """label is the human's label in force, None while nobody has decided."""

    label: str | None
    round: int
    waits_for: WaitsFor


def standing(opinions: Sequence[Opinion], *, wants_second: bool) -> Standing:
    """The state after these opinions, oldest first.

    The first opinion is in force at once. Where a second one agrees, all is done; where it
    disagrees, the first stays in force until a lead has settled it. A lead's later word settles.
    """
    if not opinions:
        return Standing(label=None, round=1, waits_for=WaitsFor.REVIEWER)
    first, *later = opinions
    if not later:
        waits_for = WaitsFor.REVIEWER if wants_second else WaitsFor.NOBODY
        return Standing(label=first.label, round=2, waits_for=waits_for)
    settled = [opinion.label for opinion in later if opinion.role is Role.LEAD]
    if settled:
        return Standing(label=settled[-1], round=3, waits_for=WaitsFor.NOBODY)
    agreed = all(opinion.label == first.label for opinion in later)
    waits_for = WaitsFor.NOBODY if agreed else WaitsFor.LEAD
    return Standing(label=first.label, round=3, waits_for=waits_for)


def effective(reviews: Sequence[Review]) -> list[Review]:
    """The decisions among a tagging's reviews that were not taken back, oldest first."""
    undone = {review.undoes_id for review in reviews if review.action == Action.UNDO}
    return [
        review
        for review in sorted(reviews, key=lambda review: review.id)
        if review.action not in NO_DECISION and review.id not in undone
    ]


def drawn_for_second(product_id: str, share: float) -> bool:
    """Whether an item gets a second opinion: drawn by its id, not by chance."""
    return drawn(product_id, share, purpose=b"second opinion\0")
