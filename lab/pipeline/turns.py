"""Turns: a run and what it is compared with, one right after the other, again and again.

A machine has good and bad minutes; both sides of one turn share theirs. What is told is the median
of the turns' ratios, with the least and the most. No speed is judged of a turn that other programs
disturbed, and none at all where they disturbed half of the turns or more.
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
    """over: of the speed of what the run is compared with, the bare loop or the same photos from
    files. over_cpu: its CPU for an image over the run's, of all processes. strangers_cores: what
    other programs used, in the worse half of the turn.
    """

    images_per_second: float
    over: float
    over_cpu: float
    strangers_cores: float

    @classmethod
    def of(cls, other: Floor, run: Run) -> "Turn":
        return cls(
            images_per_second=run.images_per_second,
            over=run.images_per_second / other.images_per_second,
            over_cpu=other.cpu_ms / sum(run.cpu_ms.values()),
            strangers_cores=max(other.strangers_cores, run.strangers_cores),
        )

    @property
    def is_quiet(self) -> bool:
        return self.strangers_cores < STRANGERS_CORES_MAX


def quiet(turns: Sequence[Turn]) -> list[Turn]:
    """Those that other programs left alone; none where these are not most of them."""
    found = [turn for turn in turns if turn.is_quiet]
    return found if 2 * len(found) > len(turns) else []


def spread(values: Sequence[float]) -> str:
    """The median, and from where to where."""
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def render(name: str, other: str, turns: Sequence[Turn]) -> str:
    """One line for people; `other` is what the run is compared with."""
    cpu = f"{spread([turn.over_cpu for turn in turns])} of its CPU"
    judged = quiet(turns)
    if not judged:
        strangers = median(turn.strangers_cores for turn in turns)
        return (
            f"{name:<22} DISTURBED, its speed is not judged: other programs took "
            f"{strangers:.2f} cores; {cpu}"
        )
    left_out = len(turns) - len(judged)
    disturbed = f"; {left_out} of {len(turns)} turns disturbed, not judged" if left_out else ""
    return f"{name:<22} {spread([turn.over for turn in judged])} of {other}, {cpu}{disturbed}"
