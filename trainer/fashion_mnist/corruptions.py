"""Fifteen ways a picture goes wrong, in the kinds of Fashion-MNIST-C (Weiss and Tonella 2022).

Our own implementation: the same seed spoils the same image the same way. Strengths are those of
about the third and fourth of the five steps of Hendrycks and Dietterich (arXiv 1903.12261).
"""

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from trainer.fashion_mnist.augmentation import (
    CENTRE,
    SIZE_PX,
    Image,
    Images,
    glass_blur,
    motion_blur,
)

Corruption = Callable[[Image, Generator], Image]


def corrupt(images: Images, kind: str, seed: int = 0) -> Images:
    """Spoil uint8 (N, 28, 28, 1), 0-255, by `kind`, a key of CORRUPTIONS."""
    rng = np.random.default_rng([seed, sorted(CORRUPTIONS).index(kind)])
    change = CORRUPTIONS[kind]
    spoiled = [change(image[..., 0].astype(np.float32), rng) for image in images]
    return np.clip(np.rint(np.stack(spoiled)), 0, 255).astype(np.uint8)[..., None]


def shot_noise(image: Image, rng: Generator) -> Image:
    """Poisson noise of 8 photons at full white."""
    return np.asarray(rng.poisson(image / 255 * 8.0) / 8.0 * 255, np.float32)


def impulse_noise(image: Image, rng: Generator) -> Image:
    """12 % of the pixels black or white."""
    struck = rng.random(image.shape) < 0.12
    grain = np.where(rng.random(image.shape) < 0.5, 0, 255)
    return np.asarray(np.where(struck, grain, image), np.float32)


def glass(image: Image, rng: Generator) -> Image:
    """Neighbours shuffled within one pixel, twice, then softened."""
    return glass_blur(image, rng, passes=2)


def motion(image: Image, rng: Generator) -> Image:
    """Moved along 5 pixels at up to 45° from level."""
    return motion_blur(image, 5, rng.uniform(-45, 45))


def shear(image: Image, rng: Generator) -> Image:
    """Slanted by 0.2 to 0.4 pixels a pixel, either way, along either axis."""
    amount = rng.uniform(0.2, 0.4) * rng.choice([-1, 1])
    along_x = rng.random() < 0.5
    return _warp(image, np.array([[1, amount], [0, 1]] if along_x else [[1, 0], [amount, 1]]))


def scale(image: Image, rng: Generator) -> Image:
    """Shrunk to 60-80 % of its size."""
    return _warp(image, np.eye(2) * rng.uniform(0.6, 0.8))


def rotate(image: Image, rng: Generator) -> Image:
    """Turned by 15° to 40° either way."""
    angle = np.deg2rad(rng.uniform(15, 40) * rng.choice([-1, 1]))
    return _warp(image, np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]))


def brightness(image: Image, rng: Generator) -> Image:
    """Everything lighter by 30-50 % of white."""
    return image + np.float32(255 * rng.uniform(0.3, 0.5))


def contrast(image: Image, rng: Generator) -> Image:
    """Distances from the mean tone at 20-40 %."""
    mean = image.mean()
    return np.asarray(mean + rng.uniform(0.2, 0.4) * (image - mean), np.float32)


def saturate(image: Image, rng: Generator) -> Image:
    """Twice to three times as light: what was middle grey is lost in white."""
    return image * np.float32(rng.uniform(2, 3))


def inverse(image: Image, rng: Generator) -> Image:
    """The negative."""
    return 255 - image


def flip_left_right(image: Image, rng: Generator) -> Image:
    """Mirrored."""
    return image[:, ::-1]


def flip_upside_down(image: Image, rng: Generator) -> Image:
    """Mirrored top to bottom."""
    return image[::-1]


def turn_left(image: Image, rng: Generator) -> Image:
    """A quarter turn anticlockwise."""
    return np.rot90(image)


def turn_right(image: Image, rng: Generator) -> Image:
    """A quarter turn clockwise."""
    return np.rot90(image, 3)


CORRUPTIONS: Mapping[str, Corruption] = {
    "shot noise": shot_noise,
    "impulse noise": impulse_noise,
    "glass blur": glass,
    "motion blur": motion,
    "shear": shear,
    "scale": scale,
    "rotate": rotate,
    "brightness": brightness,
    "contrast": contrast,
    "saturate": saturate,
    "inverse": inverse,
    "flip left-right": flip_left_right,
    "flip upside down": flip_upside_down,
    "quarter turn left": turn_left,
    "quarter turn right": turn_right,
}


def _warp(image: Image, linear: NDArray[np.float64]) -> Image:
    centre = np.array([CENTRE, CENTRE])
    matrix = np.column_stack([linear, centre - linear @ centre])
    return np.asarray(cv2.warpAffine(image, matrix, (SIZE_PX, SIZE_PX)), np.float32)
