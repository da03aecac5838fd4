"""Finding pictures in folders, and naming products after them."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from catalog.jobs import Job, file_job

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic"}
)


def find_pictures(paths: Iterable[Path]) -> Iterator[Path]:
    """Files as they are given; in folders, at any depth, what is named like a picture."""
    for path in paths:
        if path.is_dir():
            yield from sorted(
                each
                for each in path.rglob("*")
                if each.suffix.lower() in SUFFIXES and each.is_file()
            )
        else:
            yield path


def picture_job(path: Path, root: Path) -> Job:
    """The job of a picture found under `root`; the product is named after its place there."""
    place = path.relative_to(root) if path.is_relative_to(root) else path
    return file_job(path, product_id(place.as_posix()))


def product_id(name: str) -> str:
    """The name itself where the contract allows it, otherwise its end behind its sha256."""
    if len(name) <= 128 and name.isprintable():
        return name
    digest = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()
    readable = "".join(character for character in name if character.isprintable())
    return f"{digest[:16]}-{readable[-100:]}"
