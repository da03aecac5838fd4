"""Photos as a training has them: read once, decoded, and complained of."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from catalog.failures import ImageFailure
from catalog.images.cutout import cut_out
from catalog.images.decode import decode
from catalog.images.model_input import WORKING_PX
from catalog.images.photo_input import DECODE_PX, fitted, photo_input
from catalog.settings import settings
from catalog.taxonomy.model import Taxonomy
from catalog.taxonomy.reserved import RESERVED
from trainer.photos.lists import ANY_OF, PHOTOS_MIN, LabelledPhoto, PhotosError
from trainer.shop_photos import FETCHING_THREADS, photo_source

# Photos are kept somewhat larger than the network sees them, so that they may be drawn nearer.
KEPT_SHARE = 1.25


@dataclass(frozen=True, kw_only=True)
class PhotoSet:
    """Decoded photos, all of the same length N. labels: the C categories' ids.

    pixels: uint8 (N, S, S, 3), letterboxed. masks: bool (N, S, S), the garment as it was cut out,
    all False where that failed. targets: bool (N, C + 1), which categories each may be, the
    strangers' last. groups: int64 (N,). paths: files or URIs. weights: float32 (N,), how much each
    counts; None: 1. declared: bool (N,), whose label nobody looked at; None: none.
    """

    labels: tuple[str, ...]
    pixels: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    targets: NDArray[np.bool_]
    groups: NDArray[np.int64]
    paths: tuple[str, ...]
    weights: NDArray[np.float32] | None = None
    declared: NDArray[np.bool_] | None = None

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
            weights=None if self.weights is None else self.weights[chosen],
            declared=None if self.declared is None else self.declared[chosen],
        )


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


def _known(
    photos: Sequence[LabelledPhoto], taxonomy: Taxonomy
) -> tuple[list[LabelledPhoto], list[str]]:
    """Without what senders declare and the taxonomy does not know: that is no stranger's label."""
    silent: dict[str, int] = defaultdict(int)
    known = []
    for photo in photos:
        if photo.declared and not any(
            taxonomy.find(label) or label in RESERVED for label in photo.labels
        ):
            silent[ANY_OF.join(photo.labels)] += 1
        else:
            known.append(photo)
    return known, [
        f"{label!r} names no category of {taxonomy.title}: {count} photos declared so are left out"
        for label, count in sorted(silent.items(), key=lambda each: (-each[1], each[0]))
    ]


def _read(photos: Sequence[LabelledPhoto], kept_px: int) -> tuple[list[_Read], list[str]]:
    source = photo_source(settings())

    def read(photo: LabelledPhoto) -> _Read | str:
        try:
            return _one(photo, source, kept_px)
        except ImageFailure as failure:
            return f"{photo.path} cannot be read: {failure.detail}"

    with ThreadPoolExecutor(FETCHING_THREADS) as pool:
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
