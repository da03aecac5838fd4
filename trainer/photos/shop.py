"""A shop's corrected pictures as a bundle's networks take them, and what it says of each."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from catalog.bundle import Bundle
from catalog.images.decode import DecodeLimits
from catalog.images.model_input import glance, model_input
from catalog.images.photo_input import photo_input
from catalog.networks import NetworkName, PictureKind
from catalog.settings import Settings
from catalog.statistics import TINY
from catalog.taxonomy.reserved import NOT_IN_TAXONOMY
from trainer.corrections import Correction, CorrectionsError
from trainer.helping import helpers_confidences
from trainer.photo_evaluation import judge
from trainer.photos.data import KEPT_SHARE, PhotoSet
from trainer.serving_model import ServingModel
from trainer.shop_photos import (
    FETCHING_THREADS,
    STRANGER,
    DecodedPhoto,
    ShopPhotos,
    photo_source,
    read_photo,
    unambiguous,
)

# Pictures that are decoded at once: one may have a megabyte.
CHUNK = 64
Pixels = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class ShopPictures:
    """N labelled pictures.

    uris: where each lies. names: the category of each, or not_in_taxonomy. kinds: of each.
    reduced: uint8 (N, 28, 28, 1), as the 28×28 network takes them; colour: uint8 (N, S, S, 3),
    letterboxed, somewhat larger than the photo network takes them. said: what the bundle calls each
    today; accepted: bool (N,), whether it needs no person for it. reduced_words: float32 (N, C),
    the logarithms of the 28×28 network's confidences, of no columns where there is none. unread:
    why each of the others is missing.
    """

    uris: tuple[str, ...]
    names: tuple[str, ...]
    kinds: tuple[PictureKind, ...]
    reduced: Pixels
    colour: Pixels
    said: tuple[str, ...]
    accepted: NDArray[np.bool_]
    reduced_words: NDArray[np.float32]
    unread: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which of them belong to a category, bool (N,)."""
        return np.array([name != NOT_IN_TAXONOMY for name in self.names], bool)

    def is_kind(self, *kinds: PictureKind) -> NDArray[np.bool_]:
        """Which of them are of these kinds, bool (N,)."""
        return np.array([kind in kinds for kind in self.kinds], bool)

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> "ShopPictures":
        """The pictures at `chosen`, or where it is true."""
        places = np.arange(len(self))[chosen]
        return ShopPictures(
            uris=tuple(self.uris[place] for place in places),
            names=tuple(self.names[place] for place in places),
            kinds=tuple(self.kinds[place] for place in places),
            reduced=self.reduced[places],
            colour=self.colour[places],
            said=tuple(self.said[place] for place in places),
            accepted=self.accepted[places],
            reduced_words=self.reduced_words[places],
        )

    def truth(self, labels: Sequence[str]) -> NDArray[np.int64]:
        """The place of each one's category among the labels, int64 (N,), -1 for strangers."""
        place = {label: number for number, label in enumerate(labels)}
        return np.array([place.get(name, STRANGER) for name in self.names], np.int64)

    def for_photo_network(self, labels: tuple[str, ...]) -> PhotoSet:
        """As the photo network's training takes them; nothing is cut out."""
        truth = self.truth(labels)
        targets = np.zeros((len(self), len(labels) + 1), np.bool_)
        targets[np.arange(len(self)), truth] = True  # -1 is the last place, the strangers'
        return PhotoSet(
            labels=labels,
            pixels=self.colour,
            masks=np.zeros(self.colour.shape[:3], np.bool_),
            targets=targets,
            groups=np.arange(len(self), dtype=np.int64),
            paths=("",) * len(self),
        )

    def for_reduced_network(self, labels: Sequence[str]) -> ShopPhotos:
        """As the training of the 28×28 network takes them."""
        return ShopPhotos(images=self.reduced, labels=self.truth(labels))


def read_pictures(
    corrections: Sequence[Correction], bundle: Bundle, chosen: Settings
) -> ShopPictures:
    """Every picture that can be read and is the one that the person saw, with the bundle's word.

    Of equal pictures one is kept; with different labels, none.

    Raises:
        CorrectionsError: there is none.
    """
    limits = DecodeLimits.of(chosen)

    def read(each: Correction) -> DecodedPhoto | str:
        return read_photo(each, source, limits)

    parts, unread, digests = [], [], []
    serving = {name: ServingModel(part.serving_model) for name, part in bundle.parts.items()}
    with photo_source(chosen) as source, ThreadPoolExecutor(FETCHING_THREADS) as pool:
        for start in range(0, len(corrections), CHUNK):
            found = list(pool.map(read, corrections[start : start + CHUNK]))
            unread += [each for each in found if isinstance(each, str)]
            good = [each for each in found if isinstance(each, DecodedPhoto)]
            digests += [each.sha256 for each in good]
            if good:
                parts.append(seen_by(bundle, serving, good, pool))
    if not parts:
        raise CorrectionsError(
            f"Expected pictures that can be read, found none among {len(corrections)}. The first: "
            f"{unread[0]}"
        )
    whole = joined(parts, tuple(unread))
    return replace_taken(whole, unambiguous(digests, whole.names))


def seen_by(
    bundle: Bundle,
    serving: dict[NetworkName, ServingModel],
    read: Sequence[DecodedPhoto],
    pool: ThreadPoolExecutor,
) -> ShopPictures:
    """Decoded pictures as both networks take them, and what the bundle says."""
    pictures = [each.pixels for each in read]
    side_px = round(bundle.part(NetworkName.PHOTO).network.input[0] * KEPT_SHARE)
    glances = list(pool.map(glance, pictures))
    seen = pool.map(model_input, pictures, glances)
    reduced = np.stack([each.pixels for each in seen])
    helped = _of_helper(bundle, serving, reduced)
    judged = judge(bundle, serving, pictures, helped=helped)
    labels = bundle.manifest.labels
    return ShopPictures(
        uris=tuple(each.uri for each in read),
        names=tuple(each.name for each in read),
        kinds=tuple(each.kind for each in glances),
        reduced=reduced,
        colour=np.stack([photo_input(each, side_px).pixels for each in pictures]),
        said=tuple(labels[place] for place in judged.confidences.argmax(axis=1)),
        accepted=judged.accepted,
        reduced_words=_logarithms(helped, len(reduced)),
    )


def _of_helper(
    bundle: Bundle, serving: dict[NetworkName, ServingModel], reduced: Pixels
) -> NDArray[np.float64] | None:
    """The helper's own confidences of pictures, float64 (N, C); None where there is no helper."""
    helper = bundle.manifest.helper
    if helper is None:
        return None
    return helpers_confidences(bundle.part(helper), serving[helper], reduced)


def _logarithms(confidences: NDArray[np.float64] | None, count: int) -> NDArray[np.float32]:
    if confidences is None:
        return np.zeros((count, 0), np.float32)
    return np.asarray(np.log(np.maximum(confidences, TINY)), np.float32)


def joined(parts: Sequence[ShopPictures], unread: tuple[str, ...]) -> ShopPictures:
    """Several as one."""
    return ShopPictures(
        uris=tuple(uri for part in parts for uri in part.uris),
        names=tuple(name for part in parts for name in part.names),
        kinds=tuple(kind for part in parts for kind in part.kinds),
        reduced=np.concatenate([part.reduced for part in parts]),
        colour=np.concatenate([part.colour for part in parts]),
        said=tuple(said for part in parts for said in part.said),
        accepted=np.concatenate([part.accepted for part in parts]),
        reduced_words=np.concatenate([part.reduced_words for part in parts]),
        unread=unread,
    )


def replace_taken(pictures: ShopPictures, kept: NDArray[np.int64]) -> ShopPictures:
    """Those at `kept`, with all that was unread."""
    return joined([pictures.take(kept)], pictures.unread)
