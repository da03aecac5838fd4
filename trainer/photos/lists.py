"""Labelled photos: folders named by category, or lists in CSV or JSONL.

A label names a category by id, name or alias. It may name several, `Sandal|Sneaker`, or a parent of
several: its source does not say which of them. What names none is a stranger, `not_in_taxonomy`.
"""

import csv
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from catalog.errors import OperatorError
from catalog.taxonomy.document import drafted
from catalog.taxonomy.folding import fold
from catalog.taxonomy.model import Taxonomy
from catalog.taxonomy.reserved import RESERVED

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"})
PATH_COLUMNS = ("path", "image_uri", "image_path")
ANY_OF = "|"
# A category with fewer photos than this cannot be held out and learned both.
PHOTOS_MIN = 10


class PhotosError(OperatorError):
    """Photos that cannot be learned from: says what was expected, what was found, what to do."""


@dataclass(frozen=True, kw_only=True)
class LabelledPhoto:
    """One photo of a list.

    path: of a file, or a URI. labels: the categories that it may be. group: whose photos never lie
    on both sides of a validation, such as a product's or a sender's. weight: how much it counts
    beside others, above 0 and at most 1. declared: nobody looked at it, its sender says so; such
    words are doubted. taxonomy: in which the label was said; what another one does not know then
    says nothing. image_sha256: of the bytes that were labelled, where the list says it.
    """

    path: str
    labels: tuple[str, ...]
    group: str
    weight: float = 1.0
    declared: bool = False
    taxonomy: str | None = None
    image_sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class LedgerList:
    """Files of `tagger export-photos`: a list with groups, and the taxonomy in force."""

    photos: Path
    taxonomy: Path


def read_photos(sources: Sequence[Path], group_column: str | None = None) -> list[LabelledPhoto]:
    """The photos of folders and lists; those of a list without groups are groups of one.

    Beside path (or image_uri) and label a list may have weight, declared, taxonomy and
    image_sha256.

    Raises:
        PhotosError: a source is missing or no list, a column is missing, or nothing is in it.
    """
    photos = [photo for source in sources for photo in _photos_of(source, group_column)]
    if not photos:
        raise PhotosError(
            f"Expected photos in {', '.join(map(str, sources))}, found none. Name a folder with a "
            "folder of photos for each category, or a CSV or JSONL list with path and label."
        )
    return photos


def drafted_taxonomy(photos: Sequence[LabelledPhoto]) -> Taxonomy:
    """A taxonomy of the categories that the photos name, in the order of the alphabet.

    Spellings that differ in case, accents, hyphens or spaces are one category, named by the most
    frequent. What senders alone declare, and that seldom, is rather a slip than a category.

    Raises:
        TaxonomyError: no taxonomy can be made of them.
    """
    spellings: dict[str, Counter[str]] = {}
    sure: set[str] = set()
    for photo in photos:
        for label in photo.labels:
            spellings.setdefault(fold(label), Counter())[label] += 1
            if not photo.declared:
                sure.add(fold(label))
    reserved = {fold(each) for each in RESERVED}
    names = [
        max(counted, key=lambda name: (counted[name], name))
        for folded, counted in spellings.items()
        if folded not in reserved and (folded in sure or counted.total() >= PHOTOS_MIN)
    ]
    return drafted(sorted(names, key=lambda name: (fold(name), name)))


def _photos_of(source: Path, group_column: str | None) -> Iterator[LabelledPhoto]:
    if source.is_dir():
        yield from _of_folder(source)
        return
    try:
        rows = _rows(source)
    except (OSError, ValueError) as error:
        raise PhotosError(
            f"Expected a folder, a CSV or a JSONL list at {source}, found: {error}."
        ) from error
    for number, row in enumerate(rows, start=1):
        yield _photo(source, number, row, group_column)


def _photo(
    source: Path, number: int, row: dict[str, str], group_column: str | None
) -> LabelledPhoto:
    path = next((row[name] for name in PATH_COLUMNS if row.get(name)), None)
    missing = [
        name
        for name, value in (
            ("path", path), ("label", row.get("label")),
            (group_column, row.get(group_column or "") or (None if group_column else "")),
        )
        if value is None
    ]  # fmt: skip
    if path is None or missing:
        raise PhotosError(
            f"Expected path and label in item {number} of {source}, missing: "
            f"{', '.join(map(str, missing))}; found {sorted(row)}."
        )
    return LabelledPhoto(
        path=_placed(source, path),
        labels=tuple(name.strip() for name in row["label"].split(ANY_OF)),
        group=f"{source}:{row[group_column]}" if group_column else f"{source}:{path}",
        weight=_weight(source, number, row.get("weight")),
        declared=(row.get("declared") or "").casefold() in ("true", "yes", "1"),
        taxonomy=row.get("taxonomy") or None,
        image_sha256=row.get("image_sha256") or None,
    )


def _placed(source: Path, path: str) -> str:
    """What is relative is so to the list."""
    if path.startswith("file://"):
        return unquote(urlsplit(path).path)
    return path if "://" in path else str(source.parent / path)


def _weight(source: Path, number: int, text: str | None) -> float:
    if not text:
        return 1.0
    try:
        weight = float(text)
    except ValueError:
        weight = 0.0
    if not 0 < weight <= 1:
        raise PhotosError(
            f"Expected a weight above 0 and at most 1 in item {number} of {source}, found {text!r}."
        )
    return weight


def _of_folder(folder: Path) -> Iterator[LabelledPhoto]:
    for path in sorted(folder.glob("*/**/*")):
        if path.suffix.lower() in SUFFIXES:
            label = path.relative_to(folder).parts[0]
            yield LabelledPhoto(path=str(path), labels=(label,), group=str(path))


def _rows(path: Path) -> list[dict[str, str]]:
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix.lower() != ".jsonl":
        return list(csv.DictReader(text.splitlines()))
    rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    if any(not isinstance(row, dict) for row in rows):
        raise ValueError("a line that is no JSON object")
    return [{key: str(value) for key, value in row.items() if value is not None} for row in rows]
