"""Fashion-MNIST: find it, verify it, read it, split it."""

import gzip
import hashlib
import math
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from catalog.errors import OperatorError
from trainer.fashion_mnist.classes import LABELS

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
# sha256 of what is inside each file as published since 31 August 2017: Debian compresses anew, so
# the .gz files themselves differ from Zalando's.
CHECKSUMS: Mapping[str, str] = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
IMAGES_MAGIC = 2051
LABELS_MAGIC = 2049
SIZE_PX = 28


class DatasetError(OperatorError):
    """The dataset is missing, or is not what was published."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """Images uint8 (N, 28, 28, 1), 0-255, light garment on black; labels int64 (N,), 0-9."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> "Split":
        """The images at `index`, or where it is true."""
        return Split(images=self.images[index], labels=self.labels[index])


def cache_folder() -> Path:
    """Where a downloaded dataset is kept."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "catalog-tagger" / "fashion-mnist"


def file_in(folder: Path, name: str) -> Path | None:
    """`name` in `folder`, compressed or not, or None."""
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            return path
    return None


def missing_files(folder: Path) -> list[str]:
    """Which of the four files `folder` lacks."""
    return [name for name in CHECKSUMS if file_in(folder, name) is None]


def load_train(folder: Path, *, verify: bool = True) -> Split:
    """The 60,000 training images. Raises DatasetError as `load` does."""
    return load(folder, "train", verify=verify)


def load_test(folder: Path, *, verify: bool = True) -> Split:
    """The 10,000 test images, for `evaluate` alone. Raises DatasetError as `load` does."""
    return load(folder, "t10k", verify=verify)


def load(folder: Path, part: str, *, verify: bool) -> Split:
    """Read images and labels of `part`, "train" or "t10k"; verify=False takes data of one's own.

    Raises:
        DatasetError: a file is missing, cut off, altered, or no idx file.
    """
    images = _idx(_content(folder, f"{part}-images-idx3-ubyte", verify), IMAGES_MAGIC, 3, folder)
    labels = _idx(_content(folder, f"{part}-labels-idx1-ubyte", verify), LABELS_MAGIC, 1, folder)
    if len(images) != len(labels) or images.shape[1:] != (SIZE_PX, SIZE_PX):
        raise DatasetError(
            f"Expected as many labels as images of {SIZE_PX}×{SIZE_PX} pixels in {folder}, found "
            f"{len(labels)} labels and images of shape {images.shape}. Fetch the dataset again."
        )
    if labels.size and labels.max() >= len(LABELS):
        raise DatasetError(
            f"Expected labels from 0 to {len(LABELS) - 1} in {folder}, found {labels.max()}. "
            "Fetch the dataset again."
        )
    return Split(images=images[..., None], labels=labels.astype(np.int64))


def split_validation(data: Split, share: float) -> tuple[Split, Split]:
    """Training and validation part, chosen by the hash of each image's pixels.

    Equal pictures fall on the same side, whatever their order or number: no duplicate of a
    validation image is trained on.
    """
    lots = np.array([_lot(image) for image in data.images])
    return data.take(lots >= share), data.take(lots < share)


def _lot(image: NDArray[np.uint8]) -> float:
    return int.from_bytes(hashlib.sha256(image.tobytes()).digest()[:8]) / 2**64


def _content(folder: Path, name: str, verify: bool) -> bytes:
    path = file_in(folder, name)
    if path is None:
        raise DatasetError(
            f"Expected the four files of Fashion-MNIST in {folder}, found no {name} and no "
            f"{name}.gz. Missing: {', '.join(missing_files(folder))}. Complete the folder, or "
            "leave --data-dir out to search and download."
        )
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(
            f"Expected a readable file {path}, found: {error}. Delete it and fetch it again."
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if verify and found != CHECKSUMS[name]:
        raise DatasetError(
            f"Expected Fashion-MNIST of 31 August 2017 in {path} (sha256 of the content "
            f"{CHECKSUMS[name]}), found {found}. Delete it and fetch it again; for data of your "
            "own, pass --unverified-data."
        )
    return content


def _idx(content: bytes, magic: int, axes: int, folder: Path) -> NDArray[np.uint8]:
    """Parse an idx file of unsigned bytes (yann.lecun.com/exdb/mnist)."""
    start = 4 + 4 * axes
    words = len(content[:start]) // 4
    header = np.frombuffer(content, ">i4", count=words).tolist()
    if words != 1 + axes or header[0] != magic or math.prod(header[1:]) != len(content) - start:
        raise DatasetError(
            f"Expected an idx file of magic {magic} in {folder}, found the header {header} and "
            f"{len(content)} bytes. Fetch the dataset again."
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(header[1:])
