"""What a catalog's events are called; receivers outside choose by these names."""

from enum import StrEnum


class EventKind(StrEnum):
    """What happened to a product."""

    TAGGED = "tagged"  # the machine's label is in force, nobody has to look
    FLAGGED = "flagged"  # a person should look: the machine is unsure, or a decision was undone
    FAILED = "failed"  # no label could be had; the reason code says why
    DECIDED = "decided"  # a person's label came into force
    DRIFT = "drift"  # of no single product: what came on a day differs from the days before
    CHANGED = "changed"  # a re-tagging run put another label in force than before
    REMOVED = "removed"  # its sender wants it gone
