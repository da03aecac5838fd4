"""Photos drawn for tests: three categories that colour and form tell apart, and strangers."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from catalog.taxonomy.document import drafted
from trainer.photos.data import PhotoSet, targets_of

LABELS = ("disc", "bar", "frame")
TAXONOMY = drafted(LABELS)
STRANGER = "cross"


def drawn(name: str, rng: np.random.Generator, side_px: int = 80) -> NDArray[np.uint8]:
    """uint8 (S, S, 3): one thing in the middle of plain paper."""
    photo = np.full((side_px, side_px, 3), int(rng.integers(220, 250)), np.uint8)
    middle, size = side_px // 2 + int(rng.integers(-4, 5)), int(side_px * rng.uniform(0.22, 0.3))
    colour = tuple(int(level) for level in rng.integers(0, 120, 3))
    if name == "disc":
        cv2.circle(photo, (middle, middle), size, colour, -1)
    elif name == "bar":
        cv2.rectangle(
            photo,
            (middle - size // 3, middle - size),
            (middle + size // 3, middle + size),
            colour,
            -1,
        )
    elif name == "frame":
        cv2.rectangle(
            photo, (middle - size, middle - size), (middle + size, middle + size), colour, size // 3
        )
    else:
        cv2.line(
            photo, (middle - size, middle - size), (middle + size, middle + size), colour, size // 3
        )
        cv2.line(
            photo, (middle - size, middle + size), (middle + size, middle - size), colour, size // 3
        )
    return photo


def write_folders(root: Path, count: int, seed: int = 0) -> None:
    """`count` photos of each name in a folder of that name."""
    rng = np.random.default_rng(seed)
    for name in (*LABELS, STRANGER):
        (root / name).mkdir(parents=True)
        for number in range(count):
            cv2.imwrite(str(root / name / f"{number}.png"), drawn(name, rng))


def photo_set(count: int, seed: int = 0, side_px: int = 40) -> PhotoSet:
    """`count` photos of each name, decoded; every second one is of the same group."""
    rng = np.random.default_rng(seed)
    names = [name for name in (*LABELS, STRANGER) for _ in range(count)]
    pixels = np.stack([drawn(name, rng, side_px) for name in names])
    return PhotoSet(
        labels=LABELS,
        pixels=pixels,
        masks=np.abs(pixels[..., 0].astype(int) - pixels[:, :1, :1, 0]) > 60,
        targets=targets_of([(name,) for name in names], TAXONOMY),
        groups=np.arange(len(names)) // 2,
        paths=tuple(f"{number}.png" for number in range(len(names))),
    )
