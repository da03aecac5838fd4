"""What `tagger bench loop` measures after each round, as text and as a picture."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from catalog.statistics import Proportion
from trainer.plotting import ACCENT, INK, STYLE, save
from trainer.tables import percent
from worker.commands.tables import table

RED = "#dc2626"


@dataclass(frozen=True, kw_only=True)
class Round:
    """What the machine made of a round's photos as they arrived: it had learned from none of them.

    model_version: that served at the end. flagged: those that wait for a person because the machine
    is in doubt; audited: of the accepted those that wait only as a sample. accepted: the others and
    these; wrong: those of these with another label than the photo's, strangers among them. reviews:
    decisions of people in this round. adapted: what `tagger adapt` chose after the round before, in
    adapt_s; verdict: of `tagger model compare` on what both models saw; None: nothing was tried.
    """

    number: int
    model_version: str
    reviews: int
    reviews_so_far: int
    photos: int
    flagged: int
    audited: int
    accepted: int
    wrong: int
    adapted: str | None = None
    verdict: str | None = None
    promoted: bool = False
    adapt_s: float | None = None

    @property
    def flagged_share(self) -> Proportion:
        """What the machine passes on to a person."""
        return Proportion(right=self.flagged, whole=self.photos)

    @property
    def error(self) -> Proportion:
        """How much of what it accepts is wrong."""
        return Proportion(right=self.wrong, whole=self.accepted)


@dataclass(frozen=True, kw_only=True)
class LoopFigures:
    """All rounds, and under which conditions."""

    photos: int
    ways: tuple[str, ...]
    rounds: tuple[Round, ...]

    def as_json(self) -> str:
        """With shares and their 95 % Wilson intervals."""
        return json.dumps(
            asdict(self) | {"rounds": [_fields(each) for each in self.rounds]}, indent=2
        )


def as_text(figures: LoopFigures) -> str:
    """One line a round."""
    head = (
        "round", "photos", "to a person", "accepted", "wrong of these", "reviews", "learned",
        "model",
    )  # fmt: skip
    rows = [head, *(_row(each) for each in figures.rounds)]
    return "\n".join(
        (
            f"{figures.photos} photos, learning by {' or '.join(figures.ways)}",
            table(rows, right=frozenset({0, 1, 2, 3, 4, 5})),
        )
    )


def plot(figures: LoopFigures, path: Path) -> None:
    """Flagged share and error of the accepted, round by round, as PNG or SVG."""
    with rc_context(STYLE | {"svg.hashsalt": "loop"}):
        figure = Figure(figsize=(6.4, 3.4))
        axes = figure.subplots()
        rounds = [each.number for each in figures.rounds]
        shares = [each.flagged_share for each in figures.rounds]
        _band(axes, rounds, shares, ACCENT, "to a person")
        errors = [each.error for each in figures.rounds]
        _band(axes, rounds, errors, RED, "wrong of the accepted")
        axes.set_xlabel(f"round of {figures.rounds[0].photos} new photos (reviews spent)")
        axes.set_ylabel("% (95 % intervals)")
        axes.set_ylim(0, 100)
        axes.set_xticks(rounds, [f"{each.number} ({each.reviews})" for each in figures.rounds])
        axes.legend(frameon=False, labelcolor=INK)
        if path.suffix == ".svg":
            figure.savefig(path, metadata={"Date": None, "Creator": None})
        else:
            save(figure, path)


def _band(
    axes: Any, reviews: Sequence[int], shares: Sequence[Proportion], colour: str, name: str
) -> None:
    known = [(x, each) for x, each in zip(reviews, shares, strict=True) if each.whole]
    places = [x for x, _ in known]
    middle = [100 * (each.share or 0.0) for _, each in known]
    axes.plot(places, middle, color=colour, marker="o", label=name)
    low, high = ([100 * each.interval[end] for _, each in known] for end in (0, 1))
    axes.fill_between(places, low, high, color=colour, alpha=0.15, linewidth=0)


def _row(each: Round) -> tuple[str, ...]:
    low, high = each.error.interval
    wrong = f"{each.wrong} of {each.accepted}"
    if each.accepted:
        wrong += f" ({percent(low)} to {percent(high)})"
    return (
        str(each.number),
        str(each.photos),
        percent(each.flagged_share.share),
        str(each.accepted),
        wrong,
        str(each.reviews),
        "" if each.adapted is None else f"{each.adapted}, {each.verdict or 'nothing compared'}",
        f"{each.model_version}{' (promoted)' if each.promoted else ''}",
    )


def _fields(each: Round) -> Mapping[str, Any]:
    return asdict(each) | {
        "flagged_share": each.flagged_share.share,
        "flagged_interval": list(each.flagged_share.interval),
        "error": each.error.share,
        "error_interval": list(each.error.interval),
    }
