"""Small real data in the dataset's own format, and one network trained on it for all tests."""

import gzip
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from catalog.sample import SAMPLE
from trainer.fashion_mnist.config import TrainConfig, preset

if TYPE_CHECKING:
    from trainer.fashion_mnist.train import Run


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


@pytest.fixture(scope="session")
def small_config() -> TrainConfig:
    """A network that trains in seconds; the recipe is the real one."""
    return preset(
        "quick",
        epochs=6,
        batch_size=32,
        stem_channels=8,
        widths=(8, 16),
        blocks=1,
        learning_rate=0.05,
        ema_momentum=0.8,
        validation_share=0.25,
    )


@pytest.fixture(scope="session")
def run(
    tmp_path_factory: pytest.TempPathFactory, data_folder: Path, small_config: TrainConfig
) -> "Run":
    """A finished training, on the backend that the environment names."""
    from trainer.fashion_mnist.train import train

    folder = tmp_path_factory.mktemp("run") / "small"
    return train(small_config, data_folder, folder, verify=False, verbose=0)


@pytest.fixture(scope="session")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory, run: "Run") -> Path:
    """The bundle published from it."""
    from trainer.publish import publish

    folder = tmp_path_factory.mktemp("bundles") / "small"
    publish(run, folder)
    return folder
