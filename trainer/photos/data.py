"""Labelled photos: folders named by category, or lists in CSV or JSONL.

A label names a category by id, name or alias. It may name several, `Sandal|Sneaker`, or a parent of
several: its source does not say which of them. What names none is a stranger, `not_in_taxonomy`.
"""

import csv
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from catalog.errors import OperatorError
from catalog.failures import DecodeFailure
from catalog.images.cutout import cut_out
from catalog.images.decode import decode
from catalog.images.model_input import WORKING_PX
from catalog.images.photo_input import DECODE_PX, fitted, photo_input
from catalog.taxonomy.document import drafted
from catalog.taxonomy.model import Taxonomy
from catalog.taxonomy.reserved import RESERVED

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"})
PATH_COLUMNS = ("path", "image_uri", "image_path")
ANY_OF = "|"
# Photos are kept somewhat larger than the network sees them, so that they may be drawn nearer.
KEPT_SHARE = 1.25
# A category with fewer photos than this cannot be held out and learned both.
PHOTOS_MIN = 10


class PhotosError(OperatorError):
    """Photos that cannot be learned from: says what was expected, what was found, what to do."""


@dataclass(frozen=True, kw_only=True)
class LabelledPhoto:
    """One photo of a list. labels: the categories that it may be. group: whose photos never lie
    on both sides of a validation, such as a product's or a sender's."""

    path: Path
    labels: tuple[str, ...]
    group: str


@dataclass(frozen=True, kw_only=True)
class PhotoSet:
    """Decoded photos, all of the same length N. labels: the C categories' ids.

    pixels: uint8 (N, S, S, 3), letterboxed. masks: bool (N, S, S), the garment as it was cut out,
    all False where that failed. targets: bool (N, C + 1), which categories each may be, the
    strangers' last. groups: int64 (N,). paths: where they came from.
    """

    labels: tuple[str, ...]
    pixels: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    targets: NDArray[np.bool_]
    groups: NDArray[np.int64]
    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.groups)

    @property
    def strange(self) -> NDArray[np.bool_]:
        """Which belong to no category, bool (N,)."""
        return self.targets[:, -1]

    def take(self, chosen: NDArray[np.bool_]) -> "PhotoSet":
        """Those where `chosen`, bool (N,), is true."""
        return PhotoSet(
            labels=self.labels,
            pixels=self.pixels[chosen],
            masks=self.masks[chosen],
            targets=self.targets[chosen],
            groups=self.groups[chosen],
            paths=tuple(path for path, mine in zip(self.paths, chosen, strict=True) if mine),
        )


@dataclass(frozen=True, kw_only=True)
class Problems:
    """What is wrong with photos, each a sentence for a person."""

    unreadable: tuple[str, ...] = ()
    contradictions: tuple[str, ...] = ()
    scarce: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """All of them, the gravest first."""
        return [*self.contradictions, *self.scarce, *self.unreadable]


def read_photos(sources: Sequence[Path], group_column: str | None = None) -> list[LabelledPhoto]:
    """The photos of folders and lists; those of a list without groups are groups of one.

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


def load_photos(
    photos: Sequence[LabelledPhoto], taxonomy: Taxonomy, side_px: int
) -> tuple[PhotoSet, Problems]:
    """Decode photos once, and say what is wrong with them before anything is trained.

    Unreadable ones and copies of a photo under other labels are left out.
    """
    contradictory = _contradictory(photos)
    kept_px = round(side_px * KEPT_SHARE)
    read, pixels, masks, unreadable = [], [], [], []
    for photo in tqdm(photos, desc="photos", unit="photo", mininterval=5):
        if photo.path in contradictory:
            continue
        try:
            decoded = decode(photo.path.read_bytes(), size_px_min=DECODE_PX).pixels
        except (DecodeFailure, OSError) as error:
            unreadable.append(f"{photo.path} cannot be read: {error}")
            continue
        read.append(photo)
        pixels.append(photo_input(decoded, kept_px).pixels)
        masks.append(garment_mask(decoded, kept_px))
    if not read:
        raise PhotosError(f"Expected readable photos, found none of {len(photos)}: {unreadable[0]}")
    found = PhotoSet(
        labels=taxonomy.ids,
        pixels=np.stack(pixels),
        masks=np.stack(masks),
        targets=targets_of([photo.labels for photo in read], taxonomy),
        groups=np.unique([photo.group for photo in read], return_inverse=True)[1].astype(np.int64),
        paths=tuple(photo.path for photo in read),
    )
    problems = Problems(
        unreadable=tuple(unreadable),
        contradictions=tuple(contradictory.values()),
        scarce=tuple(_scarce(found)),
    )
    return found, problems


def drafted_taxonomy(photos: Sequence[LabelledPhoto]) -> Taxonomy:
    """A taxonomy of the categories that the photos name, in the order of the alphabet.

    Raises:
        TaxonomyError: no taxonomy can be made of them.
    """
    return drafted(sorted({label for photo in photos for label in photo.labels} - set(RESERVED)))


def targets_of(wanted: Sequence[Sequence[str]], taxonomy: Taxonomy) -> NDArray[np.bool_]:
    """bool (N, C + 1): which categories each may be; a name that is none of them is a stranger."""
    place = {label: number for number, label in enumerate(taxonomy.ids)}
    targets = np.zeros((len(wanted), len(place) + 1), np.bool_)
    for row, names in enumerate(wanted):
        for name in names:
            found = taxonomy.find(name)
            leaves = () if found is None else taxonomy.below(found)
            targets[row, [place[leaf] for leaf in leaves] or [len(place)]] = True
    return targets


def garment_mask(photo: NDArray[np.uint8], side_px: int) -> NDArray[np.bool_]:
    """Where the garment is in the letterboxed photo, bool (S, S); all False where that failed."""
    # The cut-out wants the photo without its padding, which it would take for a plain background.
    found = cut_out(fitted(photo, WORKING_PX))
    if found.failed:
        return np.zeros((side_px, side_px), np.bool_)
    small = fitted(found.mask.astype(np.uint8) * 255, side_px) > 127
    mask = np.zeros((side_px, side_px), np.bool_)
    top, left = ((side_px - edge) // 2 for edge in small.shape)
    mask[top : top + small.shape[0], left : left + small.shape[1]] = small
    return mask


def folds_by_group(groups: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """A fold for each photo, int64 (N,): whole groups, each to the smallest fold so far."""
    rng = np.random.default_rng(seed)
    sizes = np.bincount(groups)
    order = rng.permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    fold_of_group = np.empty(len(sizes), np.int64)
    filled = np.zeros(count, np.int64)
    for group in order:
        fold_of_group[group] = smallest = int(filled.argmin())
        filled[smallest] += sizes[group]
    return fold_of_group[groups]


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
        yield LabelledPhoto(
            path=source.parent / path.removeprefix("file://"),
            labels=tuple(name.strip() for name in row["label"].split(ANY_OF)),
            group=f"{source}:{row[group_column]}" if group_column else f"{source}:{path}",
        )


def _of_folder(folder: Path) -> Iterator[LabelledPhoto]:
    for path in sorted(folder.glob("*/**/*")):
        if path.suffix.lower() in SUFFIXES:
            label = path.relative_to(folder).parts[0]
            yield LabelledPhoto(path=path, labels=(label,), group=str(path))


def _rows(path: Path) -> list[dict[str, str]]:
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix.lower() != ".jsonl":
        return list(csv.DictReader(text.splitlines()))
    rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    if any(not isinstance(row, dict) for row in rows):
        raise ValueError("a line that is no JSON object")
    return [{key: str(value) for key, value in row.items() if value is not None} for row in rows]


def _contradictory(photos: Sequence[LabelledPhoto]) -> dict[Path, str]:
    """Photos whose very bytes also bear another label, and what to say of them."""
    by_content = defaultdict(list)
    for photo in photos:
        if photo.path.is_file():
            by_content[sha256(photo.path.read_bytes()).digest()].append(photo)
    found: dict[Path, str] = {}
    for same in by_content.values():
        if len({photo.labels for photo in same}) > 1:
            names = ", ".join(f"{photo.path} ({ANY_OF.join(photo.labels)})" for photo in same)
            found |= {photo.path: f"One photo, several labels: {names}" for photo in same}
    return found


def _scarce(photos: PhotoSet) -> Iterator[str]:
    for label, count in zip(photos.labels, photos.targets[:, :-1].sum(axis=0), strict=True):
        if count < PHOTOS_MIN:
            yield (
                f"{label} has {count} photos; with fewer than {PHOTOS_MIN} it can hardly be "
                "learned, and nothing is proved of it"
            )
