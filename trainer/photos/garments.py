"""Fashion-MNIST pictures as photos in colour: what a list of photos does not have, they show.

Grey on black, 28 pixels: enlarged, dyed, clad in cloth from real photos so that a sharp picture is
no sign of anything, and laid on a ground.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from trainer.fashion_mnist.dataset import Split
from trainer.photos.data import PhotoSet
from trainer.photos.variation import WHITE, Grounds, Photo, on_ground

# Grey levels from which on a pixel is garment and no ringing.
GARMENT_MIN = 16
CLOTH_SHARE = 0.6


@dataclass(frozen=True, kw_only=True)
class Garments:
    """Pictures to be dressed up. place: int64 (10,), each label's category among the photos'."""

    pictures: Split
    place: NDArray[np.int64]
    chances: NDArray[np.float64]

    def draw(self, photos: PhotoSet, rng: Generator) -> tuple[Photo, int]:
        """One of them as a photo uint8 (S, S, 3), and its category."""
        number = int(rng.choice(len(self.pictures), p=self.chances))
        picture = self.pictures.images[number, :, :, 0]
        category = int(self.place[self.pictures.labels[number]])
        return dressed_up(picture, photos, rng), category


def are_shown(categories: Sequence[str], names: Sequence[str]) -> bool:
    """Whether pictures of these names show most of the categories of a taxonomy."""
    return 2 * len(set(categories) & set(names)) > len(categories)


def find_garments(pictures: Split, names: tuple[str, ...], photos: PhotoSet) -> Garments | None:
    """Those of the categories that the photos' taxonomy has under the same ids, or None.

    A category is drawn the more often the fewer photos of its own there are.
    """
    place = np.array(
        [photos.labels.index(name) if name in photos.labels else -1 for name in names], np.int64
    )
    mine = pictures.take(place[pictures.labels] >= 0)
    if not len(mine):
        return None
    sure = photos.targets[photos.targets.sum(axis=1) == 1].sum(axis=0)
    wanted = 1 / np.sqrt(sure[place[mine.labels]] + 50.0)
    return Garments(pictures=mine, place=place, chances=wanted / wanted.sum())


def dressed_up(
    picture: NDArray[np.uint8], photos: PhotoSet, rng: Generator, ground: Photo | None = None
) -> Photo:
    """A grey picture uint8 (28, 28) as a photo uint8 (S, S, 3), on `ground` or any."""
    side = photos.pixels.shape[1]
    edge = int(side * rng.uniform(0.75, 0.95))
    large = cv2.resize(picture, (edge, edge), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    tones, mask = np.zeros((2, side, side), np.float32)
    corner = (side - edge) // 2
    tones[corner : corner + edge, corner : corner + edge] = large / 255
    mask[:] = tones > GARMENT_MIN / 255
    light = (1 - tones if rng.random() < 0.5 else tones) ** rng.uniform(0.5, 1.5)
    garment = light[..., None] * _dye(photos, rng)
    return on_ground(
        np.clip(garment, 0, 255).astype(np.uint8),
        mask > 0,
        Grounds(pixels=photos.pixels).draw(side, rng) if ground is None else ground,
    )


def dressed_on_white(
    garments: Garments, photos: PhotoSet, categories: NDArray[np.int64], count: int, *, seed: int
) -> PhotoSet:
    """`count` pictures of each of the categories as photos on white; cloth is cut from `photos`."""
    rng = np.random.default_rng([seed, count])
    side, pixels, targets = photos.pixels.shape[1], [], []
    white = np.full((side, side, 3), WHITE, np.uint8)
    for category in categories:
        mine = np.flatnonzero(garments.place[garments.pictures.labels] == category)
        for number in rng.choice(mine, min(count, len(mine)), replace=False):
            picture = garments.pictures.images[number, :, :, 0]
            pixels.append(dressed_up(picture, photos, rng, white))
            targets.append(np.arange(photos.targets.shape[1]) == category)
    number = len(pixels)
    return PhotoSet(
        labels=photos.labels,
        pixels=np.stack(pixels) if pixels else np.zeros((0, side, side, 3), np.uint8),
        masks=np.zeros((number, side, side), np.bool_),
        targets=np.array(targets, np.bool_).reshape(number, photos.targets.shape[1]),
        groups=np.arange(number),
        paths=("",) * number,
    )


def _dye(photos: PhotoSet, rng: Generator) -> NDArray[np.float32]:
    """A colour, or cloth from the middle of a photo: float32 (1, 1, 3) or (S, S, 3), 0-255."""
    colour = rng.uniform(20, 255, 3)
    colour += (255 - colour) * rng.uniform(0, 0.8)
    if rng.random() > CLOTH_SHARE:
        return np.asarray(colour[None, None], np.float32)
    photo = photos.pixels[rng.integers(len(photos))]
    side = len(photo)
    edge = int(rng.integers(side // 6, side // 3))
    top, left = rng.integers(side // 4, 3 * side // 4 - edge, 2)
    cloth = cv2.resize(photo[top : top + edge, left : left + edge], (side, side))
    brightest = max(float(cloth.mean()), 40.0)
    return np.asarray(cloth * (rng.uniform(140, 255) / brightest), np.float32)
