"""Who is at work: the name under which a child's attempts stand in the ledger."""

import os
from uuid import uuid4

# Made before the fork, so that parent and children of one worker share it; a restarted worker
# has another, and process ids that come round again are no one's alias.
WORKER = uuid4().hex[:12]


def owner(process_id: int | None = None) -> str:
    """The name of this process, or of a child of the same worker, in `products.attempt_by`."""
    return f"{WORKER}:{process_id or os.getpid()}"
