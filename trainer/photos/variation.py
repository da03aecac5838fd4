"""Photos as they might also have been taken: turned, nearer, in other light, on other ground."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from catalog.images.photo_input import border_colour
from trainer.photos.data import PhotoSet
from trainer.photos.recipe import PhotoRecipe

Photo = NDArray[np.uint8]  # (S, S, 3) RGB
MASK_SHARE_MIN = 0.05
GREY = 128
WHITE = 250


@dataclass(frozen=True, kw_only=True)
class Grounds:
    """Where garments may lie: the photos' own pixels, uint8 (N, S, S, 3)."""

    pixels: NDArray[np.uint8]

    def draw(self, side_px: int, rng: Generator) -> Photo:
        """White paper most often, as a catalog has it; a plain colour; a corner of some photo."""
        lot = rng.random()
        if lot < 0.55:
            return np.full((side_px, side_px, 3), int(rng.integers(235, 256)), np.uint8)
        if lot < 0.75 or not len(self.pixels):
            colour = rng.integers(120, 256, 3)
            return np.broadcast_to(colour, (side_px, side_px, 3)).astype(np.uint8)
        photo = self.pixels[rng.integers(len(self.pixels))]
        edge = len(photo) // 3
        top = 0 if rng.random() < 0.5 else len(photo) - edge
        left = int(rng.integers(0, len(photo) - edge))
        corner = photo[top : top + edge, left : left + edge]
        return np.asarray(cv2.resize(corner, (side_px, side_px)), np.uint8)


def varied(photos: PhotoSet, index: int, recipe: PhotoRecipe, rng: Generator) -> Photo:
    """One photo as the network is shown it in one epoch, uint8 (S, S, 3)."""
    photo, mask = photos.pixels[index], photos.masks[index]
    if rng.random() < recipe.background_share and mask.mean() > MASK_SHARE_MIN:
        photo = on_ground(photo, mask, Grounds(pixels=photos.pixels).draw(len(photo), rng))
    return finished(photo, recipe, rng)


def finished(photo: Photo, recipe: PhotoRecipe, rng: Generator) -> Photo:
    """Turn, shift, light, blur and erase; the photo becomes as large as the network sees it."""
    photo = moved(photo, recipe, rng)
    if rng.random() < recipe.blur_share:
        photo = coarser(photo, rng)
    photo = lit(photo, rng)
    return erased(photo, rng) if rng.random() < recipe.erase_share else photo


def on_ground(photo: Photo, mask: NDArray[np.bool_], ground: Photo) -> Photo:
    """The garment of one photo on another's ground; the edge is soft, as a lens draws it."""
    share = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.0)[..., None]
    return np.asarray(photo * share + ground * (1 - share), np.uint8)


def has_mask(photos: PhotoSet) -> NDArray[np.bool_]:
    """Of which photos the garment could be cut out, bool (N,)."""
    return np.asarray(photos.masks.mean(axis=(1, 2)) > MASK_SHARE_MIN)


def on_white(photos: PhotoSet) -> PhotoSet:
    """The garments alone, as a catalog shows them; a photo without a mask stays as it is."""
    white = np.full(photos.pixels.shape[1:], WHITE, np.uint8)
    pixels = [
        on_ground(photo, mask, white) if cut else photo
        for photo, mask, cut in zip(photos.pixels, photos.masks, has_mask(photos), strict=True)
    ]
    return replace(photos, pixels=np.stack(pixels))


def moved(photo: Photo, recipe: PhotoRecipe, rng: Generator) -> Photo:
    """Mirrored, rotated, scaled, squeezed and shifted about its middle."""
    side, kept = recipe.side_px, len(photo)
    angle = rng.uniform(-recipe.rotation_rad, recipe.rotation_rad)
    scale = rng.uniform(recipe.scale_min, recipe.scale_max) * side / kept
    squeeze = rng.uniform(0.9, 1.1)
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = scale * turn @ np.diag([mirror * squeeze, 1 / squeeze])
    shift = rng.uniform(-recipe.shift_share, recipe.shift_share, 2) * side
    offset = side / 2 + shift - matrix @ np.full(2, kept / 2)
    return np.asarray(
        cv2.warpAffine(
            photo,
            np.concatenate([matrix, offset[:, None]], axis=1),
            (side, side),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=tuple(border_colour(photo).tolist()),
        ),
        np.uint8,
    )


def coarser(photo: Photo, rng: Generator) -> Photo:
    """As a small or overly compressed picture shows it."""
    side = len(photo)
    small = int(side * rng.uniform(0.25, 0.7))
    reduced = cv2.resize(photo, (small, small), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(reduced, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)


def lit(photo: Photo, rng: Generator) -> Photo:
    """Brightness, contrast, and the gain of each channel."""
    gain = rng.uniform(0.75, 1.25) * rng.uniform(0.9, 1.1, 3)
    offset = rng.uniform(-20, 20)
    levels = (np.arange(256)[:, None] - GREY) * gain + GREY + offset
    table = np.clip(levels, 0, 255).astype(np.uint8)[:, None]
    return np.asarray(cv2.LUT(photo, table), np.uint8)


def erased(photo: Photo, rng: Generator) -> Photo:
    """A rectangle in one colour (random erasing, Zhong et al. 2017, arXiv 1708.04896)."""
    side = len(photo)
    height, width = rng.integers(side // 8, side // 2, 2)
    top, left = int(rng.integers(0, side - height)), int(rng.integers(0, side - width))
    photo[top : top + height, left : left + width] = rng.integers(0, 256, 3)
    return photo
