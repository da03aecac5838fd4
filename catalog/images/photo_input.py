"""Photo → input of the photo network: letterboxed in colour, nothing cut away.

The photo's own background goes on where the square is larger than the photo, so that the edge of
the photo is no edge that the network could learn from.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from catalog.images.model_input import Square

# The name of these steps: a network trained for others must not serve.
PHOTO_PREPROCESSING = "letterbox-1"

# The longest edge that a photo is decoded to at least: JPEG's own scaling leaves 256 to 511 pixels.
DECODE_PX = 256
# Sides that the photo network may have: below it sees too little, above it costs too much.
SIDE_PX_MIN, SIDE_PX_MAX = 32, 320
# How many pixels deep the border is whose median colour fills what the photo leaves free.
BORDER_PX = 2


@dataclass(frozen=True, kw_only=True)
class PhotoInput:
    """One photo ready for the photo network.

    pixels: uint8 (S, S, 3) RGB, 0-255. square: what part of the decoded photo it shows; it reaches
    over the photo's edges where the short edge was padded.
    """

    pixels: NDArray[np.uint8]
    square: Square


def photo_input(photo: NDArray[np.uint8], side_px: int) -> PhotoInput:
    """Fit a decoded photo, uint8 (H, W, 3) RGB, into a square of `side_px` pixels."""
    small = fitted(photo, side_px)
    canvas = np.empty((side_px, side_px, 3), np.uint8)
    canvas[:] = border_colour(small)
    top, left = ((side_px - edge) // 2 for edge in small.shape[:2])
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
    return PhotoInput(
        pixels=canvas,
        square=letterbox(*photo.shape[:2]),
    )


def fitted(picture: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    """A picture, uint8 (H, W) or (H, W, 3), whose longest edge has `side_px` pixels."""
    height, width = picture.shape[:2]
    longest = max(height, width)
    size = (max(1, round(width * side_px / longest)), max(1, round(height * side_px / longest)))
    # Averages over areas do not alias; they cannot enlarge.
    method = cv2.INTER_AREA if longest > side_px else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, size, interpolation=method), np.uint8)


def letterbox(height: int, width: int) -> Square:
    """The square around a whole photo; it reaches over the shorter edges."""
    longest = max(height, width)
    return Square(left=(width - longest) / 2, top=(height - longest) / 2, side=float(longest))


def border_colour(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The median colour of the border, uint8 (3,).

    Without the lower edge: a person or a pair of trousers is often cut off there.
    """
    edges = (photo[:BORDER_PX], photo[:, :BORDER_PX], photo[:, -BORDER_PX:])
    border = np.concatenate([edge.reshape(-1, 3) for edge in edges])
    return np.asarray(np.median(border, axis=0), np.uint8)
