"""A run in one line, for commands that show runs and load nothing that drives them."""

from datetime import timedelta

from db.retag.models import RunState
from db.retag.progress import Progress


def line(found: Progress) -> str:
    """One run in one line."""
    counts = found.counts
    parts = [
        f"Run {found.run_id} ({found.selection}) {found.state.value}: "
        f"{counts.done} of {_about(found)} products done",
        f"{counts.changed} changed, {counts.kept} kept, {counts.skipped} skipped, "
        f"{counts.failed} failed",
    ]
    if found.state is RunState.RUNNING:
        parts += [pace(found)]
    if found.state is RunState.FINISHED and not found.published:
        parts = [f"Run {found.run_id} ({found.selection}) finished: nothing to do, no product "
                 "matches"]  # fmt: skip
    text = "; ".join(parts)
    return f"{text}\n  {found.last_error}" if found.last_error else text


def pace(found: Progress) -> str:
    """Items per second and the time left, as far as they are known."""
    rate = "-" if found.items_per_s is None else f"{found.items_per_s:.0f}"
    left = found.remaining_s
    return f"{rate} items/s, {'-' if left is None else timedelta(seconds=round(left))} left"


def _about(found: Progress) -> str:
    certain = found.expected == found.published
    return f"{found.expected}" if certain else f"about {found.expected}"
