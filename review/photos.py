"""The photo as a page shows it, and the heat of one class laid over it."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from catalog.errors import OperatorError
from catalog.images.decode import DecodeLimits, decode
from catalog.images.model_input import Square, model_input
from catalog.images.overlay import encode_jpeg
from catalog.images.photo_input import letterbox
from catalog.networks import NetworkName

EDGE_PX = 1100
HEAT_EDGE_PX = 256
HEAT_OPACITY = 0.68
HEAT_FALL_OFF = 1.5  # above 1: little heat leaves the photo clear
SMALL_PX = 200  # smaller pictures are sent without loss
KEPT = 64
DECODED_AT_ONCE = 2  # a decoded photo takes far more memory than a fetched one


class PhotoChangedError(OperatorError):
    """The address gives another picture than the one that was tagged."""


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A photo ready to be sent; the square is what the 28×28 network saw, in pixels of width_px."""

    data: bytes
    media_type: str
    width_px: int
    height_px: int
    square: Square

    @property
    def letterbox(self) -> Square:
        """What the photo network saw: all of it, and as much beside it as makes it square."""
        return letterbox(self.height_px, self.width_px)


class Photos:
    """Fetches, decodes and keeps the photos seen last; may be used from many threads."""

    def __init__(self, fetch: Callable[[str], bytes], limits: DecodeLimits) -> None:
        self._fetch = fetch
        self._limits = limits
        self._kept: OrderedDict[str, Future[Photo]] = OrderedDict()
        self._lock = threading.Lock()
        self._decoding = threading.BoundedSemaphore(DECODED_AT_ONCE)

    def get(self, key: str, image_uri: str, sha256: str | None = None) -> Photo:
        """The photo behind a URI, decoded once for all who ask at the same time.

        sha256 is that of the file that was tagged; None takes whatever is there now. The same key
        must always come with the same one.

        Raises:
            ImageFailure: it cannot be had, or is no picture.
            PhotoChangedError: it is another file than the one that was tagged.
        """
        with self._lock:
            waiting = self._kept.get(key)
            if waiting is not None:
                self._kept.move_to_end(key)
            else:
                mine: Future[Photo] = Future()
                self._kept[key] = mine
                if len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
        if waiting is not None:
            return waiting.result()
        try:
            photo = self._load(image_uri, sha256)
        except BaseException as error:
            with self._lock:
                self._kept.pop(key, None)
            mine.set_exception(error)
            raise
        mine.set_result(photo)
        return photo

    def _load(self, image_uri: str, sha256: str | None) -> Photo:
        data = self._fetch(image_uri)
        if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
            raise PhotoChangedError(
                "The photo has changed since it was tagged: its address gives another file now."
            )
        with self._decoding:
            return self._decoded(data)

    def _decoded(self, data: bytes) -> Photo:
        pixels = decode(data, size_px_min=EDGE_PX, limits=self._limits).pixels
        square = model_input(pixels).square
        height, width = pixels.shape[:2]
        scale = min(1.0, EDGE_PX / max(height, width))
        if scale < 1:
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
        small = max(pixels.shape[:2]) <= SMALL_PX
        return Photo(
            data=_png(pixels) if small else encode_jpeg(pixels),
            media_type="image/png" if small else "image/jpeg",
            width_px=pixels.shape[1],
            height_px=pixels.shape[0],
            square=Square(
                left=square.left * scale, top=square.top * scale, side=square.side * scale
            ),
        )


def heat_layer(photo: Photo, heat: NDArray[np.float32], network: NetworkName) -> bytes:
    """A heat map (h, w), 0-1, as a transparent PNG of the photo's shape: more heat, less glass.

    network: whose map it is, as each of them sees another part of the photo.
    """
    square = photo.square if network is NetworkName.REDUCED else photo.letterbox
    scale = HEAT_EDGE_PX / max(photo.width_px, photo.height_px)
    size = (max(1, round(photo.width_px * scale)), max(1, round(photo.height_px * scale)))
    cell = square.side * scale / heat.shape[0]
    left, top = square.left * scale, square.top * scale
    # Pixel centres: layer x + 0.5 = left + (heat x + 0.5) * cell.
    to_layer = np.array([
        [cell, 0, left + 0.5 * cell - 0.5],
        [0, cell, top + 0.5 * cell - 0.5],
    ])  # fmt: skip
    spread = cv2.warpAffine(
        heat, to_layer, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    spread = np.clip(spread, 0, 1)
    rows, columns = np.ogrid[: size[1], : size[0]]
    side = square.side * scale
    inside = (columns + 0.5 >= left) & (columns + 0.5 <= left + side)
    inside = inside & (rows + 0.5 >= top) & (rows + 0.5 <= top + side)
    colours = cv2.applyColorMap((spread * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    alpha = np.where(inside, spread, 0) ** HEAT_FALL_OFF * HEAT_OPACITY * 255
    colours = np.dstack([colours, alpha.astype(np.uint8)])
    return _encoded_png(colours)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    return _encoded_png(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))


def _encoded_png(pixels: NDArray[np.uint8] | cv2.typing.MatLike) -> bytes:
    done, data = cv2.imencode(".png", pixels)
    if not done:
        raise RuntimeError(f"expected OpenCV to encode a picture of shape {pixels.shape}")
    return data.tobytes()
