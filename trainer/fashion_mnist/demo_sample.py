"""Makes the sample that `tagger demo` tags: `python -m trainer.fashion_mnist.demo_sample`.

The first 60 test images of each class, in the order of the test set: nothing is picked.
"""

import gzip
from pathlib import Path

import click
import numpy as np

from catalog.sample import SAMPLE
from trainer.fashion_mnist.classes import LABELS

PER_CLASS = 60


@click.command()
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, exists=True),
    default=Path("/usr/share/datasets/fashion-mnist"),
    show_default=True,
)
def make(data_dir: Path) -> None:
    """Write the sample from the original test files in DATA_DIR."""
    labels = np.frombuffer(_read(data_dir / "t10k-labels-idx1-ubyte.gz")[8:], np.uint8)
    images = np.frombuffer(_read(data_dir / "t10k-images-idx3-ubyte.gz")[16:], np.uint8)
    chosen = np.sort(
        np.concatenate([np.flatnonzero(labels == each)[:PER_CLASS] for each in range(len(LABELS))])
    )
    np.savez_compressed(
        SAMPLE,
        images=images.reshape(-1, 28, 28)[chosen],
        labels=labels[chosen],
        test_set_index=chosen.astype(np.uint16),
    )
    click.echo(f"{SAMPLE}: {len(chosen)} images, {SAMPLE.stat().st_size} bytes")


def _read(path: Path) -> bytes:
    with gzip.open(path) as stream:
        return stream.read()


if __name__ == "__main__":
    make()
