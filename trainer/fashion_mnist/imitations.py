"""Validation images and drawn strangers that look like photos: where the rule for photos is fitted.

Fashion-MNIST is all that a new bundle has seen. Its garments, made to look like cut-out photos,
are the nearest thing to photos that can be had without a shop's own.
"""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from trainer.fashion_mnist.classes import LABELS
from trainer.fashion_mnist.config import PhotoLookConfig
from trainer.fashion_mnist.dataset import Split
from trainer.fashion_mnist.photo_look import photo_look
from trainer.shop_photos import STRANGER, ShopPhotos
from trainer.strangeness import draw_shapes

COPIES = 3
STRANGERS = 1_500


def imitated_photos(validation: Split, config: PhotoLookConfig, *, seed: int) -> ShopPhotos:
    """Every validation image three times, each time otherwise, and 1,500 things of no class."""
    rng = np.random.default_rng(seed)
    garments = Split(
        images=np.repeat(validation.images, COPIES, axis=0),
        labels=np.repeat(validation.labels, COPIES),
    )
    shapes = draw_shapes(STRANGERS, rng)
    strangers = Split(images=shapes, labels=rng.integers(0, len(LABELS), len(shapes)))
    return ShopPhotos(
        images=np.concatenate([_alike(each, config, rng) for each in (garments, strangers)]),
        labels=np.concatenate([garments.labels, np.full(len(strangers), STRANGER)]),
    )


def _alike(split: Split, config: PhotoLookConfig, rng: Generator) -> NDArray[np.uint8]:
    batch = split.take(rng.permutation(len(split))[:256])
    looks = [
        photo_look(image[..., 0].astype(np.float32), int(label), batch, config, rng)
        for image, label in zip(split.images, split.labels, strict=True)
    ]
    return np.rint(np.stack(looks)).astype(np.uint8)[..., None]
