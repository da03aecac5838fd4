"""A shop's labelled photos as model inputs: fetched, decoded and reduced as the workers do it.

The one place where the trainer touches the worker's code: its fetcher, with all its guards, for
pictures on other hosts.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
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


def read_photos(corrections: Sequence[Correction], chosen: Settings) -> ShopPhotos:
    """Every photo that can be read and is the one that the person saw.

    Raises:
        CorrectionsError: there is none.
    """
    source = photo_source(chosen)
    limits = DecodeLimits.of(chosen)

    def read(each: Correction) -> NDArray[np.uint8] | str:
        try:
            data = source(each.image_uri)
            found = hashlib.sha256(data).hexdigest()
            if each.image_sha256 not in (None, found):
                return f"{each.image_uri}: another picture than the one that was labelled"
            photo = decode(data, size_px_min=DECODE_PX, limits=limits)
        except ImageFailure as failure:
            return f"{each.image_uri}: {failure.code}: {failure.detail}"
        return model_input(photo.pixels).pixels

    with ThreadPoolExecutor(FETCHING_THREADS) as pool:
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
    """Model inputs and their labels; equal inputs with different labels are left out.

    Of equal inputs one is kept: the others would stand in the part that is trained on and in the
    one that judges it.
    """
    keys = [pixels.tobytes() for pixels in inputs]
    names: dict[bytes, set[str]] = defaultdict(set)
    first: dict[bytes, int] = {}
    for place, (key, label) in enumerate(zip(keys, labels, strict=True)):
        names[key].add(label)
        first.setdefault(key, place)
    kept = [place for key, place in first.items() if len(names[key]) == 1]
    numbers = [LABELS.index(each) if each in LABELS else STRANGER for each in labels]
    return ShopPhotos(
        images=np.array([inputs[place] for place in kept], np.uint8).reshape(-1, *INPUT_SHAPE),
        labels=np.array([numbers[place] for place in kept], np.int64),
        unread=unread,
    )


def photo_source(chosen: Settings) -> Callable[[str], bytes]:
    """From a URI to bytes; raises ImageFailure.

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

    return source


def _local(path: Path, bytes_max: int) -> bytes:
    try:
        if not path.is_file():
            raise FetchFailure(FailureCode.NOT_FOUND, f"Expected a file, found none at {path}.")
        if path.stat().st_size > bytes_max:
            raise FetchFailure(FailureCode.TOO_MANY_BYTES, f"{path} is larger than {bytes_max}.")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise FetchFailure(FailureCode.FILE_UNREADABLE, f"{path}: {error}") from error
