"""Which readers keep their place in the outbox, and how far behind they are, for people."""

from typing import TYPE_CHECKING

from db.events.vitals import Outbox

if TYPE_CHECKING:
    from catalog.places import Places
    from catalog.settings import Settings

STREAM = "stream"  # the name of the Redis stream's cursor


def readers(chosen: "Settings | Places") -> tuple[str, ...]:
    """The names of the cursors that matter; webhooks have places of their own."""
    return (STREAM,) if chosen.events_stream else ()


def line(box: Outbox) -> str:
    """Such as `57, of which 40 are kept; stream 3 behind, for 12 s`."""
    parts = [f"{box.last}, of which {box.kept} are kept"]
    for name, each in box.behind.items():
        waits = "" if each.oldest_s is None else f", for {each.oldest_s:.0f} s"
        parts.append(f"{name} {each.events} behind{waits}" if each.events else f"{name} has all")
    return "; ".join(parts)
