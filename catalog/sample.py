"""The sample of real Fashion-MNIST test images that ships with the project.

600 images, the first 60 of each class (made by trainer/fashion_mnist/demo_sample.py). MIT licence,
Zalando SE: see sample_data/LICENSE.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from catalog.taxonomy.files import shipped

SAMPLE = Path(__file__).parent / "sample_data" / "fashion_mnist_test.npz"


@dataclass(frozen=True, kw_only=True)
class SamplePicture:
    """One product picture file of the sample and what it shows."""

    product_id: str
    path: Path
    label: str


def write_pictures(folder: Path) -> list[SamplePicture]:
    """Write the sample as product pictures, dark garment on white as a shop has them (PNG, 28 px).

    Files that are there already are left as they are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with np.load(SAMPLE, allow_pickle=False) as sample:
        images, labels, places = sample["images"], sample["labels"], sample["test_set_index"]
    ids = shipped("fashion-mnist").ids
    pictures = []
    for image, label, place in zip(images, labels, places, strict=True):
        product_id = f"fashion-mnist-test-{place:05d}"
        path = folder / f"{product_id}.png"
        if not path.exists():
            _write_at_once(path, 255 - image)
        pictures.append(SamplePicture(product_id=product_id, path=path, label=ids[label]))
    return pictures


def _write_at_once(path: Path, grey: np.ndarray) -> None:
    done, data = cv2.imencode(".png", grey)
    assert done
    aside = path.with_suffix(".new")  # a killed demo leaves no half-written picture behind
    aside.write_bytes(data.tobytes())
    aside.replace(path)
