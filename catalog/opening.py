"""Opens files below a folder, and nothing beside it."""

import os
from pathlib import Path

# O_PATH (Linux): folders on the way need to be passable, not readable.
_FOLDER_FLAGS = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Non-blocking: opening a FIFO would otherwise wait for somebody to write to it.
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


def open_below(root: Path, resolved: Path) -> int:
    """Open a path without links step by step, so that none can be slipped in on the way.

    Returns a descriptor, which is the caller's to close. Both paths are as `Path.resolve` gives
    them; a link met on the way raises OSError (ELOOP or ENOTDIR).
    """
    folder = os.open(root, _FOLDER_FLAGS)
    try:
        *parents, name = resolved.relative_to(root).parts or (".",)
        for parent in parents:
            inner = os.open(parent, _FOLDER_FLAGS, dir_fd=folder)
            os.close(folder)
            folder = inner
        return os.open(name, _FILE_FLAGS, dir_fd=folder)
    finally:
        os.close(folder)
