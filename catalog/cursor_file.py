"""A file that holds how far an export came, so that the next goes on from there."""

from pathlib import Path

from catalog.errors import OperatorError


def read_cursor(path: Path | None) -> int | None:
    """The number in the file; None where there is none yet.

    Raises:
        OperatorError: the file holds something else.
    """
    if path is None or not path.exists():
        return None
    found = path.read_text(encoding="utf-8").strip()
    if not found.isascii() or not found.isdigit():
        raise OperatorError(
            f"Expected a number in {path}, found {found[:40]!r}. Correct or delete it."
        )
    return int(found)


def write_cursor(path: Path, cursor: int) -> None:
    """Replace the file's number at once: a reader finds the old one or the new one."""
    aside = path.with_name(path.name + ".new")
    aside.write_text(f"{cursor}\n", encoding="utf-8")
    aside.replace(path)
