"""The thumbnail that shows a person what the network looked at."""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from catalog.images.model_input import Square, halved

HEAT_SHARE = 0.45
JPEG_QUALITY = 80


def grad_cam(class_map: NDArray[np.floating]) -> NDArray[np.float32]:
    """One class map (h, w) as the heat map of its class: float32 (h, w), 0-1.

    For a network that ends in class maps and their mean, Grad-CAM at the last feature map is
    ReLU(class map) up to a factor (Selvaraju et al. 2017, "Grad-CAM generalizes CAM"). A map
    without a positive value stays all zero.
    """
    positive = np.maximum(np.asarray(class_map, np.float32), 0)
    peak = float(positive.max())
    return np.asarray(positive / peak if peak > 0 else positive, np.float32)


def crop(photo: NDArray[np.uint8], square: Square, size_px: int) -> NDArray[np.uint8]:
    """The square of the photo that the network saw, uint8 (size_px, size_px, 3) RGB.

    What lies over the photo's edges repeats the edge.
    """
    scale = size_px / square.side
    shrunk, halvings = photo, 0
    # warpAffine samples single pixels: shrink by area first, so that nothing flickers. Halving is
    # a fifteenth of the price of averages over broken pixels.
    while scale * 2**halvings <= 0.5 and min(shrunk.shape[:2]) > 1:
        shrunk, halvings = halved(shrunk), halvings + 1
    # An odd last row or column was left out, so that each halving is by two and not nearly so.
    zoom = scale * 2**halvings
    # Pixel centres: output x + 0.5 = (input x + 0.5) * zoom - offset.
    to_square = np.array(
        [
            [zoom, 0, 0.5 * zoom - 0.5 - square.left * scale],
            [0, zoom, 0.5 * zoom - 0.5 - square.top * scale],
        ]
    )
    view = cv2.warpAffine(
        shrunk,
        to_square,
        (size_px, size_px),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(view, np.uint8)


def overlay(view: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Lay a heat map (h, w), 0-1, over a view, uint8 (size, size, 3) RGB."""
    size = view.shape[:2][::-1]
    down, across = _cubic(heat.shape[0], size[1]), _cubic(heat.shape[1], size[0])
    smooth = np.clip(down @ heat @ across.T, 0, 1)
    colours = cv2.applyColorMap((smooth * 255).astype(np.uint8), _heat_colours())
    share = smooth * HEAT_SHARE
    mixed = cv2.blendLinear(view, colours, 1 - share, share)
    return np.asarray(mixed, np.uint8)


@lru_cache(maxsize=8)
def _cubic(length: int, size: int) -> NDArray[np.float32]:
    """OpenCV's cubic enlargement of `length` values as a matrix: float32 (size, length).

    A class map has a few values a side: two small products cost a fifth of its own enlargement.
    """
    identity = np.eye(length, dtype=np.float32)
    enlarged = cv2.resize(identity, (length, size), interpolation=cv2.INTER_CUBIC)
    return np.asarray(enlarged, np.float32).reshape(size, length)


@lru_cache(maxsize=1)
def _heat_colours() -> NDArray[np.uint8]:
    """The colours of 0-255, uint8 (256, 1, 3) RGB: OpenCV would make them anew for every picture.

    That took half the time of an overlay.
    """
    tones = np.arange(256, dtype=np.uint8)[:, None]
    colours = cv2.applyColorMap(tones, cv2.COLORMAP_INFERNO)
    return np.asarray(cv2.cvtColor(colours, cv2.COLOR_BGR2RGB), np.uint8)


def encode_jpeg(picture: NDArray[np.uint8]) -> bytes:
    """JPEG bytes of a picture, uint8 (H, W, 3) RGB."""
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise RuntimeError(f"expected OpenCV to encode a picture of shape {picture.shape}")
    return data.tobytes()
