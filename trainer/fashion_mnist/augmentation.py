"""Vary training images: pose, tone, noise, blur, erasing, or the look of a photo.

Works on whole batches of uint8 images with NumPy and OpenCV, so that it costs the same on every
backend and a run can be repeated from its seed.
"""

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from trainer.fashion_mnist.config import AugmentationConfig
from trainer.fashion_mnist.dataset import Split
from trainer.fashion_mnist.photo_look import photo_look

Images = NDArray[np.uint8]
Image = NDArray[np.float32]
SIZE_PX = 28
CENTRE = (SIZE_PX - 1) / 2


def augment(batch: Split, config: AugmentationConfig, rng: Generator) -> Images:
    """Its images varied, uint8 (N, 28, 28, 1), 0-255; the same generator state gives the same."""
    varied = []
    for whole, label in zip(batch.images, batch.labels, strict=True):
        image = whole[..., 0].astype(np.float32)
        if rng.random() < config.photo_share:
            flipped = image[:, ::-1] if rng.random() < config.flip_share else image
            varied.append(photo_look(flipped, int(label), batch, config.photo_look, rng))
        else:
            varied.append(_vary(image, config, rng))
    return np.clip(np.rint(np.stack(varied)), 0, 255).astype(np.uint8)[..., None]


def _vary(image: Image, config: AugmentationConfig, rng: Generator) -> Image:
    image = _pose(image, config, rng)
    if config.crop_px:
        image = crop(image, config.crop_px, rng)
    for share, change in (
        (config.tone_share, change_tone),
        (config.blur_share, add_blur),
        (config.noise_share, add_noise),
        (config.erase_share, erase),
    ):
        if rng.random() < share:
            image = change(image, rng)
    return image


def _pose(image: Image, config: AugmentationConfig, rng: Generator) -> Image:
    if rng.random() < config.turn_share:
        image = np.rot90(image, int(rng.integers(1, 4)))
    if rng.random() < config.flip_share:
        image = image[:, ::-1]
    strong = rng.random() < config.pose_share
    if strong or rng.random() < config.gentle_share:
        image = _warp(image, _affine(config, config.pose_strength if strong else 1.0, rng))
    return np.ascontiguousarray(image)


def _affine(config: AugmentationConfig, strength: float, rng: Generator) -> NDArray[np.float64]:
    """A 2×3 matrix: rotation, shear, scale about the centre, then shift."""
    angle = np.deg2rad(rng.uniform(-1, 1) * config.rotation_deg_max * strength)
    shear = rng.uniform(-1, 1) * config.shear_max * strength
    # Never above 1.25: a garment that fills the frame would lose its outline.
    scale = np.clip(1 + rng.uniform(-1, 1, 2) * config.scale_max * strength, 0.5, 1.25)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.array([[1, shear], [0, 1]]) @ np.diag(scale)
    centre = np.array([CENTRE, CENTRE])
    shift = rng.uniform(-1, 1, 2) * config.shift_px_max
    return np.column_stack([linear, centre - linear @ centre + shift])


def _warp(image: Image, matrix: NDArray[np.float64]) -> Image:
    return np.asarray(cv2.warpAffine(np.ascontiguousarray(image), matrix, (SIZE_PX, SIZE_PX)))


def crop(image: Image, border_px: int, rng: Generator) -> Image:
    """A random 28×28 part of the image with an empty border around it."""
    top, left = rng.integers(0, 2 * border_px + 1, 2)
    return np.pad(image, border_px)[top : top + SIZE_PX, left : left + SIZE_PX]


def change_tone(image: Image, rng: Generator) -> Image:
    """Brightness, contrast, gamma or the negative."""
    kind = rng.integers(4)
    if kind == 0:
        return np.asarray(np.clip(image + rng.uniform(20, 130), 0, 255), np.float32)
    if kind == 1:
        mean = image.mean()
        return np.asarray(mean + rng.uniform(0.2, 0.8) * (image - mean), np.float32)
    if kind == 2:
        power = np.float32(np.exp(rng.uniform(-1.0, 1.0)))
        return np.asarray(255 * (image / 255) ** power, np.float32)
    return 255 - image


def add_noise(image: Image, rng: Generator) -> Image:
    """Gaussian, shot (Poisson) or impulse noise."""
    kind = rng.integers(3)
    if kind == 0:
        noise = rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(5, 45))
        return np.asarray(np.clip(image + noise, 0, 255), np.float32)
    if kind == 1:
        photons = np.exp(rng.uniform(np.log(3), np.log(40)))
        counts = rng.poisson(image / 255 * photons)
        return np.asarray(np.clip(counts / photons * 255, 0, 255), np.float32)
    struck = rng.random(image.shape) < rng.uniform(0.02, 0.25)
    grain = np.where(rng.random(image.shape) < 0.5, 255, 0)
    return np.asarray(np.where(struck, grain, image), np.float32)


def add_blur(image: Image, rng: Generator) -> Image:
    """Gaussian, motion or glass blur."""
    kind = rng.integers(3)
    if kind == 0:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.6)))
    if kind == 1:
        return motion_blur(image, int(rng.integers(3, 8)), rng.uniform(0, 180))
    return glass_blur(image, rng, passes=int(rng.integers(1, 3)))


def motion_blur(image: Image, length_px: int, angle_deg: float) -> Image:
    """Average along a line of `length_px` through each pixel."""
    size = length_px | 1
    kernel = np.zeros((size, size), np.float32)
    kernel[size // 2] = 1
    turn = cv2.getRotationMatrix2D(((size - 1) / 2, (size - 1) / 2), angle_deg, 1)
    kernel = cv2.warpAffine(kernel, turn, (size, size))
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()))


def glass_blur(image: Image, rng: Generator, passes: int) -> Image:
    """Shuffle pixels with their neighbours, then soften, as frosted glass does."""
    grid = np.stack(np.meshgrid(np.arange(SIZE_PX), np.arange(SIZE_PX)), -1).astype(np.float32)
    for _ in range(passes):
        moves = rng.integers(-1, 2, grid.shape).astype(np.float32)
        places = np.clip(grid + moves, 0, SIZE_PX - 1)
        image = cv2.remap(image, places[..., 0], places[..., 1], cv2.INTER_NEAREST)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 0.6))


def erase(image: Image, rng: Generator) -> Image:
    """Paint a random rectangle with one random tone or with noise."""
    height, width = rng.integers(4, 13, 2)
    top, left = rng.integers(0, SIZE_PX - height + 1), rng.integers(0, SIZE_PX - width + 1)
    image = image.copy()
    tone = rng.uniform(0, 255, (height, width) if rng.random() < 0.5 else None)
    image[top : top + height, left : left + width] = tone
    return image
