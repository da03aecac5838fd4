"""Message ids of runs: they say which run they belong to, so that no row has to."""

import re

from db.ledger import message_ids as ledger
from db.ledger.message_ids import ACCEPTED

# What the message ids of all runs begin with.
ANY_RUN = f"{ACCEPTED}retag-"
_PATTERN = re.compile(re.escape(ACCEPTED) + r"retag-(\d+)-[0-9a-f]{32}")


def new_message_id(run_id: int) -> str:
    """An id for one chunk of a run, and for its message; at most 64 characters."""
    return ledger.new_message_id(prefix(run_id))


def prefix(run_id: int) -> str:
    """What the message ids of a run begin with."""
    return f"{ANY_RUN}{run_id}-"


def run_of(message_id: str) -> int | None:
    """The run that a message belongs to, by its id; None for an ordinary one."""
    found = _PATTERN.fullmatch(message_id)
    return int(found[1]) if found else None
