"""A shop's labelled photos as model inputs: fetched, decoded and reduced as the workers do it.

The one place where the trainer touches the worker's code: its fetcher, with all its guards, for
pictures on other hosts.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from catalog.failures import FailureCode, FetchFailure, ImageFailure
from catalog.fetching.fetcher import Fetcher, FetchLimits
from catalog.images.decode import DecodeLimits, decode
from catalog.images.model_input import model_input
from catalog.images.preprocessing import DECODE_PX
from catalog.settings import Settings
from trainer.corrections import Correction, CorrectionsError
from trainer.fashion_mnist.classes import LABELS

INPUT_SHAPE = (28, 28, 1)
STRANGER = -1
FETCHING_THREADS = 4


@dataclass(frozen=True, kw_only=True)
class ShopPhotos:
    """N labelled photos: images uint8 (N, 28, 28, 1), 0-255; labels int64 (N,), 0-9, or -1 for
    what is not in the taxonomy. `unread` says why each of the others is missing."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    unread: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which of them belong to a class, bool (N,)."""
        return np.asarray(self.labels != STRANGER)

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> "ShopPhotos":
        """The photos at `index`, or where it is true."""
        return ShopPhotos(images=self.images[index], labels=self.labels[index])


@dataclass(frozen=True, kw_only=True)
class DecodedPhoto:
    """One picture that could be read: pixels uint8 (H, W, 3). sha256: of its bytes."""

    uri: str
    name: str
    sha256: str
    pixels: NDArray[np.uint8]


def read_photo(
    each: Correction, source: Callable[[str], bytes], limits: DecodeLimits
) -> DecodedPhoto | str:
    """The picture that the person saw, or why it is missing."""
    try:
        data = source(each.image_uri)
        found = hashlib.sha256(data).hexdigest()
        if each.image_sha256 not in (None, found):
            return f"{each.image_uri}: another picture than the one that was labelled"
        photo = decode(data, size_px_min=DECODE_PX, limits=limits)
    except ImageFailure as failure:
        return f"{each.image_uri}: {failure.code}: {failure.detail}"
    return DecodedPhoto(uri=each.image_uri, name=each.label, sha256=found, pixels=photo.pixels)


def read_photos(corrections: Sequence[Correction], chosen: Settings) -> ShopPhotos:
    """Every photo that can be read and is the one that the person saw.

    Raises:
        CorrectionsError: there is none.
    """
    limits = DecodeLimits.of(chosen)

    def read(each: Correction) -> NDArray[np.uint8] | str:
        photo = read_photo(each, source, limits)
        return photo if isinstance(photo, str) else model_input(photo.pixels).pixels

    with photo_source(chosen) as source, ThreadPoolExecutor(FETCHING_THREADS) as pool:
        results = list(pool.map(read, corrections))
    if all(isinstance(result, str) for result in results):
        raise CorrectionsError(
            f"Expected pictures that can be read, found none among {len(results)}. The first: "
            f"{results[0]}"
        )
    read_ones = [
        (pixels, each.label)
        for pixels, each in zip(results, corrections, strict=True)
        if not isinstance(pixels, str)
    ]
    return shop_photos(
        [pixels for pixels, _ in read_ones],
        [label for _, label in read_ones],
        unread=tuple(result for result in results if isinstance(result, str)),
    )


def shop_photos(
    inputs: Sequence[NDArray[np.uint8]], labels: Sequence[str], unread: tuple[str, ...] = ()
) -> ShopPhotos:
    """Model inputs and their labels; of equal inputs one is kept, of contradicting ones none."""
    kept = unambiguous([pixels.tobytes() for pixels in inputs], labels)
    numbers = [LABELS.index(each) if each in LABELS else STRANGER for each in labels]
    return ShopPhotos(
        images=np.array([inputs[place] for place in kept], np.uint8).reshape(-1, *INPUT_SHAPE),
        labels=np.array([numbers[place] for place in kept], np.int64),
        unread=unread,
    )


def unambiguous(keys: Sequence[Hashable], names: Sequence[str]) -> NDArray[np.int64]:
    """Of equal pictures the place of the first, of those with several names none, int64 (M,).

    The others would stand in the part that is learned from and in the one that judges it.
    """
    called: dict[Hashable, set[str]] = defaultdict(set)
    first: dict[Hashable, int] = {}
    for place, (key, name) in enumerate(zip(keys, names, strict=True)):
        called[key].add(name)
        first.setdefault(key, place)
    return np.array([place for key, place in first.items() if len(called[key]) == 1], np.int64)


@contextmanager
def photo_source(chosen: Settings) -> Iterator[Callable[[str], bytes]]:
    """From a URI to bytes, over connections that are closed at the end; raises ImageFailure.

    Whoever runs the trainer named the file of corrections and reads local files by their own
    permissions; what lies on other hosts goes through the workers' fetcher.
    """
    fetcher = Fetcher(FetchLimits.of(chosen), ())

    def source(uri: str) -> bytes:
        scheme = urlsplit(uri).scheme.lower()
        if scheme not in ("", "file"):
            return fetcher.fetch(uri)
        path = Path(unquote(urlsplit(uri).path) if scheme else uri)
        return _local(path, chosen.image_bytes_max)

    with closing(fetcher):
        yield source


def _local(path: Path, bytes_max: int) -> bytes:
    try:
        if not path.is_file():
            raise FetchFailure(FailureCode.NOT_FOUND, f"Expected a file, found none at {path}.")
        if path.stat().st_size > bytes_max:
            raise FetchFailure(FailureCode.TOO_MANY_BYTES, f"{path} is larger than {bytes_max}.")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise FetchFailure(FailureCode.FILE_UNREADABLE, f"{path}: {error}") from error
