"""Reading labelled photos once, and saying what is wrong with them before anything is trained."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from catalog.failures import ImageFailure
from catalog.images.decode import decode
from catalog.images.photo_input import DECODE_PX, photo_input
from catalog.settings import settings
from catalog.taxonomy.model import Taxonomy
from catalog.taxonomy.reserved import RESERVED
from trainer.photos.data import KEPT_SHARE, PhotoSet, garment_mask, targets_of
from trainer.photos.lists import ANY_OF, PHOTOS_MIN, LabelledPhoto, PhotosError
from trainer.shop_photos import FETCHING_THREADS, photo_source


@dataclass(frozen=True, kw_only=True)
class Problems:
    """What is wrong with photos, each a sentence for a person."""

    unreadable: tuple[str, ...] = ()
    contradictions: tuple[str, ...] = ()
    scarce: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """All of them, the gravest first."""
        return [*self.contradictions, *self.scarce, *self.unknown, *self.unreadable]


@dataclass(frozen=True, kw_only=True)
class _Read:
    """One decoded photo. digest: of its bytes."""

    photo: LabelledPhoto
    digest: bytes
    pixels: NDArray[np.uint8]
    mask: NDArray[np.bool_]


def load_photos(
    photos: Sequence[LabelledPhoto], taxonomy: Taxonomy, side_px: int
) -> tuple[PhotoSet, Problems]:
    """Decode photos once, and say what is wrong with them before anything is trained.

    Unreadable ones, copies of a photo under other labels, and what senders declare to be of no
    category are left out. Copies under the same label are of one group.
    """
    known, unknown = _known(photos, taxonomy)
    read, unreadable = _read(known, round(side_px * KEPT_SHARE))
    if not read:
        complaints = [*unknown, *unreadable]
        raise PhotosError(f"Expected readable photos, found none of {len(photos)}: {complaints[0]}")
    kept, contradictions = _without_contradictions(read, taxonomy)
    if not kept:
        raise PhotosError(f"Expected photos of one label each, found none: {contradictions[0]}")
    found = PhotoSet(
        labels=taxonomy.ids,
        pixels=np.stack([each.pixels for each in kept]),
        masks=np.stack([each.mask for each in kept]),
        targets=targets_of([each.photo.labels for each in kept], taxonomy),
        groups=np.unique(_groups(kept), return_inverse=True)[1].astype(np.int64),
        paths=tuple(each.photo.path for each in kept),
        weights=np.array([each.photo.weight for each in kept], np.float32),
        declared=np.array([each.photo.declared for each in kept], np.bool_),
    )
    problems = Problems(
        unreadable=tuple(unreadable),
        contradictions=tuple(contradictions),
        scarce=tuple(_scarce(found)),
        unknown=tuple(unknown),
    )
    return found, problems


def _known(
    photos: Sequence[LabelledPhoto], taxonomy: Taxonomy
) -> tuple[list[LabelledPhoto], list[str]]:
    """Without labels that say nothing in this taxonomy: such photos are not strangers either."""
    silent: Counter[str] = Counter()
    known = []
    for photo in photos:
        if _is_silent(photo, taxonomy):
            silent[repr(ANY_OF.join(photo.labels))] += 1
        else:
            known.append(photo)
    return known, [
        f"{label} names no category of {taxonomy.title}: {count} photos called so are left out"
        for label, count in sorted(silent.items(), key=lambda each: (-each[1], each[0]))
    ]


def _is_silent(photo: LabelledPhoto, taxonomy: Taxonomy) -> bool:
    if any(taxonomy.find(label) for label in photo.labels):
        return False
    # Who called it a stranger among other categories did not say that it is one among these.
    elsewhere = photo.taxonomy not in (None, taxonomy.title)
    return elsewhere or (photo.declared and not set(photo.labels) <= set(RESERVED))


def _read(photos: Sequence[LabelledPhoto], kept_px: int) -> tuple[list[_Read], list[str]]:
    def read(photo: LabelledPhoto) -> _Read | str:
        try:
            return _one(photo, source, kept_px)
        except ImageFailure as failure:
            return f"{photo.path} cannot be read: {failure.detail}"

    with photo_source(settings()) as source, ThreadPoolExecutor(FETCHING_THREADS) as pool:
        made = pool.map(read, photos)
        found = list(tqdm(made, "photos", total=len(photos), unit="photo", mininterval=5))
    return (
        [each for each in found if isinstance(each, _Read)],
        [each for each in found if isinstance(each, str)],
    )


def _one(photo: LabelledPhoto, source: Callable[[str], bytes], kept_px: int) -> _Read | str:
    data = source(photo.path)
    digest = sha256(data)
    if photo.image_sha256 not in (None, digest.hexdigest()):
        return f"{photo.path} is another picture than the one that was labelled"
    decoded = decode(data, size_px_min=DECODE_PX).pixels
    return _Read(
        photo=photo,
        digest=digest.digest(),
        pixels=photo_input(decoded, kept_px).pixels,
        mask=garment_mask(decoded, kept_px),
    )


def _without_contradictions(
    read: Sequence[_Read], taxonomy: Taxonomy
) -> tuple[list[_Read], list[str]]:
    """Without photos whose very bytes also bear another label; people win over senders."""
    targets = targets_of([each.photo.labels for each in read], taxonomy)
    copies: dict[bytes, list[int]] = defaultdict(list)
    for place, each in enumerate(read):
        copies[each.digest].append(place)
    out: set[int] = set()
    said = []
    for places in copies.values():
        if _alike(targets[places]):
            continue
        checked = [place for place in places if not read[place].photo.declared]
        kept = checked if checked and _alike(targets[checked]) else []
        out |= set(places) - set(kept)
        names = ", ".join(
            f"{read[place].photo.path} ({ANY_OF.join(read[place].photo.labels)})"
            for place in places
        )
        said.append(
            f"One photo, several labels: {names}" + ("; what people said stays" if kept else "")
        )
    return [each for place, each in enumerate(read) if place not in out], said


def _alike(rows: NDArray[np.bool_]) -> bool:
    return bool((rows == rows[0]).all())


def _groups(read: Sequence[_Read]) -> list[str]:
    """The group of each photo; groups that share a picture are one."""
    joined: dict[str, str] = {}

    def first(group: str) -> str:
        while joined.get(group, group) != group:
            group = joined[group]
        return group

    seen: dict[bytes, str] = {}
    for each in read:
        there = first(seen.setdefault(each.digest, each.photo.group))
        joined[first(each.photo.group)] = there
    return [first(each.photo.group) for each in read]


def _scarce(photos: PhotoSet) -> Iterator[str]:
    for label, count in zip(photos.labels, photos.targets[:, :-1].sum(axis=0), strict=True):
        if count < PHOTOS_MIN:
            yield (
                f"{label} has {count} photos; with fewer than {PHOTOS_MIN} it can hardly be "
                "learned, and nothing is proved of it"
            )
