"""Photo → model input: cut out, then reduce as Zalando made Fashion-MNIST.

Zalando's steps (arXiv 1708.07747, section 2): trim the border, shrink the longest edge to 28
pixels, sharpen what was shrunk, negate a light background, pad the short edge and centre. Before
them the garment is cut out of its background and, on a person, from its wearer.
"""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from catalog.images.cutout import Background, CutOut, background_of, cut_out, parts_of
from catalog.images.wearer import without_wearer
from catalog.networks import PictureKind

# The name of these steps and their constants: a bundle made for others must not serve.
PREPROCESSING = "cutout-4"

# Fashion-MNIST's own size. A picture that is no larger came reduced and is not cut out.
SIZE_PX = 28
# The garment is cut out at this size: the mask is reduced to a quarter of it anyway.
WORKING_PX = 112
# A white garment on white is dark once negated; this keeps it apart from the black around it.
GARMENT_FLOOR = 40
# Corners beyond these, of 0-255, tell which way round a picture that came reduced is.
NEARLY_WHITE, NEARLY_BLACK = 225, 30
SHARPEN_SIGMA_PX = 1.0
SHARPEN_AMOUNT = 0.5
# Below this many grey levels between garment and background there is nothing to see; it is tagged
# all the same, and a person looks at it (poor_image). So for the next three.
CONTRAST_MIN = 16
# Of a picture that came reduced: below, shirt and coat are the same few pixels.
TINY_PX = 20
# The steepest edges of a photo in focus climb by more than this share of its contrast per pixel of
# the working size; a Gaussian blur of 1/35 of the longest edge leaves less.
SHARPNESS_MIN = 0.14
# Parts of a plain photo that are this large beside the largest one are items of their own.
ITEM_SHARE_MIN = 0.4

NO_CONTRAST = "nothing stands out from the background"


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
    the photo whatever the network says, or None. working: uint8 (H, W, 3), the photo as it was
    cut out, and mask: bool (H, W), what was taken for the garment; both None for a picture that
    was no larger than the model input and so was not cut out.
    """

    pixels: NDArray[np.uint8]
    square: Square
    poor: str | None
    working: NDArray[np.uint8] | None = None
    mask: NDArray[np.bool_] | None = None

    @property
    def is_photo(self) -> bool:
        """Whether it had to be cut out and reduced, or came as the network was trained."""
        return self.working is not None


def comes_reduced(picture: NDArray[np.uint8]) -> bool:
    """Whether a picture has the model's own size already, as those of Fashion-MNIST have."""
    return bool(max(picture.shape[:2]) <= SIZE_PX)


@dataclass(frozen=True, kw_only=True)
class Glance:
    """What is told of a picture before it is known who judges it: computed once for all of them.

    working: uint8 (H, W, 3), a photo at the size at which it would be cut out, and background: of
    it; both None for a picture that came reduced.
    """

    kind: PictureKind
    working: NDArray[np.uint8] | None = None
    background: Background | None = None

    @cached_property
    def unclear(self) -> str | None:
        """Why a photo shows too little to any network: told once for all who ask."""
        return None if self.working is None else why_unclear(self.working)


def glance(picture: NDArray[np.uint8]) -> Glance:
    """Tell what kind of picture a decoded one, uint8 (H, W, 3) RGB, is."""
    if comes_reduced(picture):
        return Glance(kind=PictureKind.REDUCED)
    working = _shrunk(picture)
    background = background_of(working)
    kind = PictureKind.PLAIN if background.plain else PictureKind.BUSY
    return Glance(kind=kind, working=working, background=background)


def why_unclear(working: NDArray[np.uint8]) -> str | None:
    """Why a photo, uint8 (H, W, 3) RGB at the working size, shows too little to any network."""
    grey = np.asarray(cv2.cvtColor(working, cv2.COLOR_RGB2GRAY), np.uint8)
    return _without_contrast(grey) or _blurred(grey)


def model_input(photo: NDArray[np.uint8], seen: Glance | None = None) -> ModelInput:
    """Reduce a photo, uint8 (H, W, 3) RGB, to what the network was trained on; seen: its glance."""
    seen = seen or glance(photo)
    if seen.working is None:
        return _taken_as_reduced(photo)
    height, width = photo.shape[:2]
    working = seen.working
    found = cut_out(working, seen.background)
    mask = without_wearer(working, found) if found.plain and not found.failed else found.mask
    left, top, right, bottom = _bounding_box(mask)
    garment = _garment(working, mask, found)
    zoom = max(height, width) / max(working.shape[:2])
    side = max(right - left, bottom - top)
    return ModelInput(
        pixels=_centre(_reduce(garment[top:bottom, left:right]))[:, :, None],
        square=Square(
            left=zoom * (left + right - side) / 2,
            top=zoom * (top + bottom - side) / 2,
            side=zoom * side,
        ),
        poor=_poor(seen, found),
        working=working,
        mask=mask,
    )


def _taken_as_reduced(photo: NDArray[np.uint8]) -> ModelInput:
    """A picture of the model's own size has been cut out and reduced already."""
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    garment = _on_black(grey)
    height, width = grey.shape
    side = max(height, width)
    poor = None
    if side < TINY_PX:
        poor = f"the picture is only {width}×{height} pixels"
    elif int(garment.max()) < CONTRAST_MIN:
        poor = NO_CONTRAST
    return ModelInput(
        pixels=_centre(garment)[:, :, None],
        square=Square(left=(width - side) / 2, top=(height - side) / 2, side=float(side)),
        poor=poor,
    )


def _shrunk(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The photo at the working size.

    Halved as often as that leaves enough, then interpolated: a fifth of the price of averaging
    over areas of broken pixels.
    """
    while max(photo.shape[:2]) >= 2 * WORKING_PX:
        photo = halved(photo)
    height, width = photo.shape[:2]
    scale = WORKING_PX / max(height, width)
    if scale >= 1:
        return photo
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def halved(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The mean of each two by two pixels; an odd last row or column is left out."""
    rows, columns = (max(1, side // 2) for side in photo.shape[:2])
    even = photo[: 2 * rows, : 2 * columns]
    return np.asarray(cv2.resize(even, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)


def _garment(photo: NDArray[np.uint8], mask: NDArray[np.bool_], found: CutOut) -> NDArray[np.uint8]:
    """The garment in grey on black, uint8 (H, W), negated unless its background was dark."""
    grey = np.asarray(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), np.uint8)
    if found.failed:
        return _on_black(grey)
    tones = grey if found.plain and found.background_lightness < 128 else 255 - grey
    return np.where(mask, np.maximum(tones, GARMENT_FLOOR), 0).astype(np.uint8)


def _on_black(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Turn the background to black and what is far from its tone to light: uint8 (H, W)."""
    background = _background_tone(grey)
    if background >= 128:
        return np.asarray(cv2.subtract(np.full_like(grey, background), grey), np.uint8)
    return np.asarray(cv2.subtract(grey, np.full_like(grey, background)), np.uint8)


def _background_tone(grey: NDArray[np.uint8]) -> int:
    """The tone of the four corner pixels, 0-255.

    A garment may reach into some of them: corners that are nearly white, or nearly black, speak
    for the others.
    """
    corners = sorted(int(grey[row, column]) for row in (0, -1) for column in (0, -1))
    light = [tone for tone in corners if tone >= NEARLY_WHITE]
    dark = [tone for tone in corners if tone <= NEARLY_BLACK]
    if light and len(light) >= len(dark):
        return light[-1]
    return dark[0] if dark else round((corners[1] + corners[2]) / 2)


def _bounding_box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the mask."""
    columns = np.flatnonzero(mask.any(axis=0))
    rows = np.flatnonzero(mask.any(axis=1))
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
    sharp = cv2.addWeighted(small, 1 + SHARPEN_AMOUNT, blurred, -SHARPEN_AMOUNT, 0)
    return np.asarray(sharp, np.uint8)


def _centre(small: NDArray[np.uint8]) -> NDArray[np.uint8]:
    canvas = np.zeros((SIZE_PX, SIZE_PX), np.uint8)
    height, width = small.shape
    top, left = (SIZE_PX - height) // 2, (SIZE_PX - width) // 2
    canvas[top : top + height, left : left + width] = small
    return canvas


def _poor(seen: Glance, found: CutOut) -> str | None:
    if found.failed and seen.unclear != NO_CONTRAST:
        return "no garment could be told apart from its background"
    if seen.unclear:
        return seen.unclear
    if found.plain and (items := _items(found.mask)) > 1:
        return f"the photo shows {items} items"
    return None


def _without_contrast(grey: NDArray[np.uint8]) -> str | None:
    flat = float(np.ptp(grey)) < CONTRAST_MIN
    return NO_CONTRAST if flat else None


def _blurred(grey: NDArray[np.uint8]) -> str | None:
    return "the photo is blurred" if _sharpness(grey) < SHARPNESS_MIN else None


def _sharpness(grey: NDArray[np.uint8]) -> float:
    """The slope of the steepest edges in shares of the contrast per pixel of the working size."""
    across, down = cv2.spatialGradient(grey)
    slopes = cv2.magnitude(across.astype(np.float32), down.astype(np.float32)).astype(np.uint16)
    outliers = grey.size // 200
    # Sobel's kernels add up to eight times the slope.
    steepest = np.partition(slopes, -1 - outliers, axis=None)[-1 - outliers] / 8
    tones = np.partition(grey, (outliers, grey.size - 1 - outliers), axis=None)
    contrast = max(int(tones[-1 - outliers]) - int(tones[outliers]), 1)
    return float(steepest / contrast * max(grey.shape) / WORKING_PX)


def _items(mask: NDArray[np.bool_]) -> int:
    _, areas = parts_of(mask)
    return int((areas >= ITEM_SHARE_MIN * areas.max()).sum())
