"""Domain randomisation: Fashion-MNIST garments as a shop's photos would show them at 28×28.

Everything is made from Fashion-MNIST alone and imitates what cutting out and reducing a photo does
to a garment: dark ones that are light, other garments worn above or below, the wearer's legs and
missing sleeves, holes and frayed edges of a bad cut-out, residue of the background, other
proportions and another sharpness (Tobin et al. 2017, arXiv 1703.06907, for the idea).
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from trainer.fashion_mnist.classes import LABELS
from trainer.fashion_mnist.config import PhotoLookConfig
from trainer.fashion_mnist.dataset import Split

Image = NDArray[np.float32]
SIZE_PX = 28
# What the model input keeps between a dark garment and the black around it.
GARMENT_FLOOR = 40
TOPS = frozenset(LABELS.index(name) for name in ("t-shirt-top", "pullover", "coat", "shirt"))
TROUSER, DRESS = LABELS.index("trouser"), LABELS.index("dress")


def photo_look(
    image: Image, label: int, batch: Split, config: PhotoLookConfig, rng: Generator
) -> Image:
    """One garment, float32 (28, 28) 0-255 on black, as if cut out of a photo; same shape and range.

    `batch` holds the garments that may be worn with it.
    """
    if rng.random() < config.tone_share:
        image = change_garment_tone(image, rng)
    image = worn(image, label, batch, config, rng)
    for share, change in (
        (config.tilt_share, tilt),
        (config.fray_share, fray),
        (config.bite_share, bite),
        (config.residue_share, add_residue),
        (config.background_share, leave_background),
        (config.refit_share, refit),
        (config.sharpness_share, change_sharpness),
    ):
        if rng.random() < share:
            image = change(image, rng)
    return np.clip(image, 0, 255)


def change_garment_tone(image: Image, rng: Generator) -> Image:
    """Dark garments for light ones, flat for contrasted: the background stays black."""
    mask = garment(image)
    if not mask.any():
        return image
    inside = image[mask] / 255
    kind = rng.integers(3)
    if kind == 0:
        inside = 1 - inside
    elif kind == 1:
        inside = inside ** np.exp(rng.uniform(-0.9, 0.9))
    spread = rng.uniform(0.3, 1.3)
    inside = inside.mean() + spread * (inside - inside.mean()) + rng.uniform(-0.3, 0.3)
    varied = image.copy()
    varied[mask] = np.clip(inside * 255, GARMENT_FLOOR, 255)
    return varied


def worn(image: Image, label: int, batch: Split, config: PhotoLookConfig, rng: Generator) -> Image:
    """What a wearer adds: trousers below a top, a top above trousers, legs; sleeves may be lost."""
    if label in TOPS and rng.random() < config.stacked_share:
        return _stacked(image, _companion(batch, frozenset({TROUSER}), rng), rng)
    if label in TOPS and rng.random() < config.sleeveless_share:
        return _without_sleeves(image, rng)
    if label == TROUSER and rng.random() < config.hem_share:
        companion = _companion(batch, TOPS, rng)
        return image if companion is None else _hem_above(image, companion, rng)
    if label == DRESS and rng.random() < config.legs_share:
        return _bare_legs(image, rng)
    return image


def fray(image: Image, rng: Generator) -> Image:
    """An outline that is a pixel too wide or too narrow, in places."""
    cross = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
    change: Callable[..., object] = cv2.erode if rng.random() < 0.6 else cv2.dilate
    changed = np.asarray(change(image, cross), np.float32)
    mask = garment(changed)
    where = _patches(rng) > rng.uniform(-1.0, 0.3)
    spoiled = np.where(mask == garment(image), image, changed)
    return np.where(where, spoiled, image).astype(np.float32)


def bite(image: Image, rng: Generator) -> Image:
    """Parts that were taken for background: a piece of the edge, or holes."""
    if rng.random() < 0.5:
        return np.where(_patches(rng) > rng.uniform(0.9, 1.6), 0, image).astype(np.float32)
    bitten = image.copy()
    centre = tuple(int(each) for each in rng.integers(0, SIZE_PX, 2))
    axes = tuple(int(each) for each in rng.integers(2, 7, 2))
    cv2.ellipse(bitten, centre, axes, float(rng.uniform(0, 180)), 0, 360, (0,), -1)
    return bitten


def add_residue(image: Image, rng: Generator) -> Image:
    """Background that was taken for garment: blobs beside it."""
    residue = np.zeros_like(image)
    for _ in range(int(rng.integers(1, 4))):
        centre = tuple(int(each) for each in rng.integers(0, SIZE_PX, 2))
        axes = tuple(int(each) for each in rng.integers(1, 6, 2))
        cv2.ellipse(residue, centre, axes, float(rng.uniform(0, 180)), 0, 360, (1,), -1)
    tone = rng.uniform(GARMENT_FLOOR, 255) + rng.uniform(0, 30) * _patches(rng)
    beside = (residue > 0) & ~garment(image)
    return np.where(beside, tone, image).astype(np.float32)


def leave_background(image: Image, rng: Generator) -> Image:
    """A cut-out that failed: something dim all around."""
    tone = rng.uniform(0, 110) + rng.uniform(0, 40) * _patches(rng)
    return np.where(garment(image), image, np.clip(tone, 0, 255)).astype(np.float32)


def tilt(image: Image, rng: Generator) -> Image:
    """Seen or laid down at an angle: shoes in three-quarter view, clothes on a bed."""
    trimmed = _trimmed(image)
    side = int(np.hypot(*trimmed.shape)) + 1
    canvas = np.zeros((side, side), np.float32)
    top, left = (side - trimmed.shape[0]) // 2, (side - trimmed.shape[1]) // 2
    canvas[top : top + trimmed.shape[0], left : left + trimmed.shape[1]] = trimmed
    centre = ((side - 1) / 2, (side - 1) / 2)
    turn = cv2.getRotationMatrix2D(centre, float(18 * rng.standard_normal()), 1)
    turned = _trimmed(np.asarray(cv2.warpAffine(canvas, turn, (side, side)), np.float32))
    return _centred(turned, *turned.shape)


def refit(image: Image, rng: Generator) -> Image:
    """Trim to what is there, change its proportions, bring the longest edge to 28 and centre."""
    trimmed = _trimmed(image)
    height, width = trimmed.shape[0] * np.exp(rng.uniform(-0.2, 0.2)), float(trimmed.shape[1])
    return _centred(trimmed, height, width)


def change_sharpness(image: Image, rng: Generator) -> Image:
    """Between soft and over-sharpened."""
    blurred = cv2.GaussianBlur(image, (0, 0), 1.0)
    amount = rng.uniform(-0.7, 0.9)
    return np.asarray(np.clip(image + amount * (image - blurred), 0, 255), np.float32)


def garment(image: Image) -> NDArray[np.bool_]:
    """What is not background, without its small holes: bool (28, 28)."""
    seen = (image > 4).astype(np.uint8)
    return np.asarray(cv2.morphologyEx(seen, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)) > 0)


def _companion(batch: Split, wanted: frozenset[int], rng: Generator) -> Image | None:
    """Another garment of the batch, in another tone."""
    there = np.flatnonzero(np.isin(batch.labels, list(wanted)))
    if not there.size:
        return None
    return change_garment_tone(batch.images[rng.choice(there), ..., 0].astype(np.float32), rng)


def _stacked(top: Image, trousers: Image | None, rng: Generator) -> Image:
    """A top with the upper part of a pair of trousers below it, on one canvas."""
    if trousers is None:
        return top
    share = rng.uniform(0.68, 0.93)
    rows = round(SIZE_PX * share)
    above = _trimmed(top)
    below = _trimmed(trousers)[: max(2, round(SIZE_PX * rng.uniform(0.3, 0.7)))]
    body = cv2.resize(above, (SIZE_PX, rows), interpolation=cv2.INTER_AREA)
    width = round(SIZE_PX * rng.uniform(0.45, 0.8))
    legs = cv2.resize(below, (width, SIZE_PX - rows + 2), interpolation=cv2.INTER_AREA)
    canvas = np.zeros((SIZE_PX, SIZE_PX), np.float32)
    left = (SIZE_PX - width) // 2
    canvas[rows - 2 :, left : left + width] = legs
    canvas[:rows] = np.where(body > 4, body, canvas[:rows])
    narrow = above.shape[1] / above.shape[0] * rows
    return _centred(canvas, SIZE_PX, float(np.clip(narrow, 8, SIZE_PX)))


def _hem_above(trousers: Image, top: Image, rng: Generator) -> Image:
    """Trousers under the hem of a top."""
    rows = int(rng.integers(2, 7))
    hem = _trimmed(top)[-rows:]
    legs = _trimmed(trousers)
    width = max(4, round(legs.shape[1] * rng.uniform(0.9, 1.4)))
    hem = cv2.resize(hem, (width, rows), interpolation=cv2.INTER_AREA)
    canvas = np.zeros((rows + legs.shape[0], max(width, legs.shape[1])), np.float32)
    canvas[:rows, (canvas.shape[1] - width) // 2 :][:, :width] = hem
    canvas[rows:, (canvas.shape[1] - legs.shape[1]) // 2 :][:, : legs.shape[1]] = legs
    return _centred(canvas, *canvas.shape)


def _bare_legs(dress: Image, rng: Generator) -> Image:
    """A dress with the wearer's legs below it."""
    body = _trimmed(dress)
    length, width = int(rng.integers(3, 12)), int(rng.integers(1, 4))
    canvas = np.zeros((body.shape[0] + length, body.shape[1]), np.float32)
    canvas[: body.shape[0]] = body
    middle, gap = body.shape[1] // 2, int(rng.integers(0, 3))
    for left in (middle - gap - width, middle + gap):
        canvas[body.shape[0] :, max(0, left) : max(0, left) + width] = rng.uniform(60, 200)
    return _centred(canvas, *canvas.shape)


def _without_sleeves(top: Image, rng: Generator) -> Image:
    """Sleeves that were taken for skin or background: from some row on, or altogether."""
    body = _trimmed(top).copy()
    side = round(body.shape[1] * rng.uniform(0.1, 0.25))
    first = round(body.shape[0] * rng.uniform(0.1, 0.6))
    body[first:, :side] = 0
    body[first:, body.shape[1] - side :] = 0
    return _centred(body, *body.shape)


def _trimmed(image: Image) -> Image:
    rows, columns = np.flatnonzero((image > 4).any(1)), np.flatnonzero((image > 4).any(0))
    if not rows.size:
        return image
    return np.ascontiguousarray(image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def _centred(image: Image, height: float, width: float) -> Image:
    """Resized to the proportions height:width with the longest edge at 28 pixels, on black."""
    scale = SIZE_PX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_LINEAR)
    canvas = np.zeros((SIZE_PX, SIZE_PX), np.float32)
    top, left = (SIZE_PX - size[1]) // 2, (SIZE_PX - size[0]) // 2
    canvas[top : top + size[1], left : left + size[0]] = small
    return canvas


def _patches(rng: Generator) -> Image:
    """Smooth noise, about standard normal, float32 (28, 28)."""
    coarse = rng.standard_normal((7, 7)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_CUBIC))
