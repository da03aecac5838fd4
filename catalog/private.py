"""Folders and files of the embedded state, which nobody but their owner reads."""

import os
import stat
import tempfile
from pathlib import Path

FOLDER_MODE = 0o700
FILE_MODE = 0o600
# What SQLite keeps beside a database; it gives new ones the database's own mode.
_BESIDE = ("", "-wal", "-shm", "-journal")


def private_folder(folder: Path) -> Path:
    """Make a folder, and those above it that are missing, for their owner only.

    One that is there and ours is closed to others, too; not the current folder or one above it,
    nor one that many share, such as /tmp: their modes are somebody's choice.
    """
    if not folder.exists():
        if not folder.parent.exists():
            private_folder(folder.parent)
        folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
    here = Path.cwd()
    resolved = folder.resolve()
    if resolved != here and resolved not in here.parents:
        _close(folder, FOLDER_MODE)
    return folder


def private_file(path: Path) -> None:
    """Make a file, empty if it is new, for its owner only, and so SQLite's files beside it.

    The file itself is never opened: closing it again would end every lock that SQLite holds on it
    in this process (POSIX locks are the process's, not the descriptor's; "How To Corrupt An SQLite
    Database File", 2.2), and another process would take away the journal that is still read here.
    """
    if not path.exists():
        _create(path)
    for suffix in _BESIDE:
        _close(path.with_name(path.name + suffix), FILE_MODE)


def _create(path: Path) -> None:
    """Put an empty file in place that was closed before it had this name."""
    handle, made = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # mode 0600
    os.close(handle)
    try:
        os.link(made, path)
    except FileExistsError:
        pass  # another process was first
    finally:
        Path(made).unlink()


def _close(path: Path, mode: int) -> None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return
    shared = found.st_mode & stat.S_ISVTX
    if found.st_uid == os.geteuid() and found.st_mode & 0o077 and not shared:
        path.chmod(mode)
