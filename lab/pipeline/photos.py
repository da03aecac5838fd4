"""The photos that all runs of one benchmark share."""

from collections.abc import Sequence
from pathlib import Path

from catalog.errors import OperatorError
from catalog.jobs import Job, file_job
from lab.serving import generate_photos

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def photo_files(home: Path, given: Path | None, distinct: int) -> list[Path]:
    """Photos of a folder, or generated ones of 1,000×1,333 px on a plain background.

    Raises:
        OperatorError: the folder holds no picture.
    """
    if given is None:
        generate_photos(home / "photos", distinct)
        return sorted((home / "photos").iterdir())
    files = sorted(each for each in given.rglob("*") if each.suffix.lower() in SUFFIXES)
    if not files:
        raise OperatorError(
            f"Expected pictures ({', '.join(sorted(SUFFIXES))}) in {given}, found none. "
            "Name another folder, or leave --photos out."
        )
    return [each.absolute() for each in files]


def jobs_of(files: Sequence[Path], name: str, count: int) -> list[Job]:
    """`count` products, named `name-000000` and so on, going round the files."""
    return [file_job(files[n % len(files)], f"{name}-{n:06d}") for n in range(count)]
