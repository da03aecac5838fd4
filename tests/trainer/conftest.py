"""Small real data in the dataset's own format, and one network trained on it for all tests."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from catalog.sample import SAMPLE


def write_idx(path: Path, values: NDArray[np.uint8], magic: int) -> None:
    header = struct.pack(f">{1 + values.ndim}i", magic, *values.shape)
    path.write_bytes(gzip.compress(header + values.tobytes(), compresslevel=1))


def write_part(
    folder: Path, part: str, images: NDArray[np.uint8], labels: NDArray[np.uint8]
) -> None:
    write_idx(folder / f"{part}-images-idx3-ubyte.gz", images, 2051)
    write_idx(folder / f"{part}-labels-idx1-ubyte.gz", labels, 2049)


@pytest.fixture(scope="session")
def garments() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The 600 real test images that ship: uint8 (600, 28, 28) and labels uint8 (600,), shuffled."""
    with np.load(SAMPLE, allow_pickle=False) as sample:
        images, labels = sample["images"], sample["labels"].astype(np.uint8)
    order = np.random.default_rng(0).permutation(len(labels))
    return images.reshape(-1, 28, 28)[order], labels[order]


@pytest.fixture(scope="session")
def data_folder(
    tmp_path_factory: pytest.TempPathFactory,
    garments: tuple[NDArray[np.uint8], NDArray[np.uint8]],
) -> Path:
    """A dataset folder: 450 images to train on, 150 to test on."""
    folder = tmp_path_factory.mktemp("data")
    images, labels = garments
    write_part(folder, "train", images[:450], labels[:450])
    write_part(folder, "t10k", images[450:], labels[450:])
    return folder
