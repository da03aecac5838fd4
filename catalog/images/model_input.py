"""Photo → model input, the way Zalando made Fashion-MNIST (arXiv 1708.07747, section 2).

Trim the border of the background's tone, shrink the longest edge to 28 pixels, sharpen what was
shrunk, negate a light background, pad the short edge and centre.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

# The name of these steps and their constants: a bundle trained for others must not serve.
PREPROCESSING = "zalando-1"

SIZE_PX = 28
# Grey levels by which a pixel differs from the background before it counts as garment: above the
# noise that JPEG leaves around edges.
TRIM_TOLERANCE = 12
NEARLY_WHITE, NEARLY_BLACK = 225, 30
SHARPEN_SIGMA_PX = 1.0
# Below this many grey levels between garment and background there is nothing to see.
CONTRAST_MIN = 16
TINY_PX = 20


@dataclass(frozen=True, kw_only=True)
class Square:
    """The part of the photo that became the model input: pixels of the decoded photo.

    The square may reach over the photo's edges where the short edge was padded.
    """

    left: float
    top: float
    side: float


@dataclass(frozen=True, kw_only=True)
class ModelInput:
    """One image ready for the network.

    pixels: uint8 (28, 28, 1), 0-255, light garment on black. poor: why a person should look at
    the photo whatever the network says, or None.
    """

    pixels: NDArray[np.uint8]
    square: Square
    poor: str | None


def model_input(photo: NDArray[np.uint8]) -> ModelInput:
    """Reduce a photo, uint8 (H, W, 3) RGB, to what the network was trained on."""
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    garment = _on_black(grey)
    height, width = garment.shape
    contrast = int(garment.max())
    if max(height, width) <= SIZE_PX:
        # A picture of the model's own size has been reduced already: resampling would blur it.
        left, top, right, bottom = 0, 0, width, height
        small = garment
    else:
        left, top, right, bottom = _bounding_box(garment)
        small = _reduce(garment[top:bottom, left:right])
    side = max(right - left, bottom - top)
    square = Square(left=(left + right - side) / 2, top=(top + bottom - side) / 2, side=float(side))
    return ModelInput(
        pixels=_centre(small)[:, :, None], square=square, poor=_poor(height, width, contrast)
    )


def _on_black(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Turn the background to black and what is far from its tone to light: uint8 (H, W)."""
    background = _background_tone(grey)
    if background >= 128:
        return np.asarray(cv2.subtract(np.full_like(grey, background), grey), np.uint8)
    return np.asarray(cv2.subtract(grey, np.full_like(grey, background)), np.uint8)


def _background_tone(grey: NDArray[np.uint8]) -> int:
    """The tone of the corners, 0-255.

    A garment may reach into some of them: corners that are nearly white, or nearly black, speak
    for the others.
    """
    height, width = (max(1, edge // 50) for edge in grey.shape)
    patches = (
        grey[:height, :width],
        grey[:height, -width:],
        grey[-height:, :width],
        grey[-height:, -width:],
    )
    corners = sorted(int(np.median(patch)) for patch in patches)
    light = [tone for tone in corners if tone >= NEARLY_WHITE]
    dark = [tone for tone in corners if tone <= NEARLY_BLACK]
    if light and len(light) >= len(dark):
        return light[-1]
    return dark[0] if dark else round((corners[1] + corners[2]) / 2)


def _bounding_box(garment: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of all that stands out from the background, or the whole."""
    seen = garment > TRIM_TOLERANCE
    columns = np.flatnonzero(seen.any(axis=0))
    rows = np.flatnonzero(seen.any(axis=1))
    if columns.size == 0:
        return 0, 0, garment.shape[1], garment.shape[0]
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _reduce(garment: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Bring the longest edge to 28 pixels; sharpen what lost detail by it."""
    height, width = garment.shape
    scale = SIZE_PX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if scale >= 1:
        return np.asarray(cv2.resize(garment, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    small = cv2.resize(garment, size, interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(small, (0, 0), SHARPEN_SIGMA_PX)
    return np.asarray(cv2.addWeighted(small, 1.5, blurred, -0.5, 0), np.uint8)


def _centre(small: NDArray[np.uint8]) -> NDArray[np.uint8]:
    canvas = np.zeros((SIZE_PX, SIZE_PX), np.uint8)
    height, width = small.shape
    top, left = (SIZE_PX - height) // 2, (SIZE_PX - width) // 2
    canvas[top : top + height, left : left + width] = small
    return canvas


def _poor(height: int, width: int, contrast: int) -> str | None:
    if max(height, width) < TINY_PX:
        return f"the picture is only {width}×{height} pixels"
    if contrast < CONTRAST_MIN:
        return "nothing stands out from the background"
    return None
