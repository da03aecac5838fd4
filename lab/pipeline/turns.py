"""Turns: the bare loop and a run, one right after the other, again and again.

A machine has good and bad minutes; both sides of one turn share theirs. What is told is the median
of the turns' ratios, with the least and the most.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from lab.pipeline.floor import Floor
from lab.pipeline.running import Run

# Above this, what other programs use disturbs a run.
STRANGERS_CORES_MAX = 0.1


@dataclass(frozen=True, kw_only=True)
class Turn:
    """over_floor: of the bare loop's speed. over_floor_cpu: its CPU for an image over that of all
    processes. strangers_cores: what other programs used, in the worse half of the turn.
    """

    images_per_second: float
    over_floor: float
    over_floor_cpu: float
    strangers_cores: float

    @classmethod
    def of(cls, floor: Floor, run: Run) -> "Turn":
        return cls(
            images_per_second=run.images_per_second,
            over_floor=run.images_per_second / floor.images_per_second,
            over_floor_cpu=floor.cpu_ms / sum(run.cpu_ms.values()),
            strangers_cores=max(floor.strangers_cores, run.strangers_cores),
        )


def quiet(turns: Sequence[Turn]) -> bool:
    """Whether other programs left most turns alone: otherwise their speeds are not judged."""
    return median(turn.strangers_cores for turn in turns) < STRANGERS_CORES_MAX


def spread(values: Sequence[float]) -> str:
    """The median, and from where to where."""
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def render(name: str, turns: Sequence[Turn]) -> str:
    """One line for people."""
    disturbed = "" if quiet(turns) else (
        f"; DISTURBED, its speed is not judged: other programs took "
        f"{median(turn.strangers_cores for turn in turns):.2f} cores"
    )  # fmt: skip
    return (
        f"{name:<22} {spread([turn.over_floor for turn in turns])} of the bare loop's speed, "
        f"{spread([turn.over_floor_cpu for turn in turns])} of its CPU{disturbed}"
    )
