"""A folder that is written aside, and then put in its place at once."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from catalog.bundle import BundleError


@contextmanager
def written_aside(folder: Path) -> Iterator[Path]:
    """A folder to write in that takes the place of `folder` once the block is through.

    Nothing appears at `folder` before; on any error it stays as it was.

    Raises:
        BundleError: the disk is full, or the folder cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as spare:
            aside = Path(spare) / folder.name
            aside.mkdir()
            yield aside
            replace_folder(aside, folder)
    except OSError as error:
        raise BundleError(
            f"Expected to write the bundle to {folder}, but: {error}. Nothing was changed there; "
            "make room or choose another --bundle."
        ) from error


def replace_folder(aside: Path, folder: Path) -> None:
    """Put `aside` in the place of `folder`; what was there is kept until the rename is done."""
    old = aside.with_name(f"{aside.name}.old")
    if folder.exists():
        folder.rename(old)
    try:
        aside.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
