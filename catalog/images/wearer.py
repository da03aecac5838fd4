"""A garment on a person: head, bare skin and the other garments should not decide.

On a plain background only, where the outline of the wearer is known.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from catalog.images.cutout import CutOut, large_parts

Mask = NDArray[np.bool_]

# A head: the top of the outline is clearly narrower than the shoulders, and has skin in it.
HEAD_SHARE = 0.16
HEAD_WIDTH_MAX = 0.72
HEAD_SKIN_MIN = 0.12
# Straps are narrower than a head, and a head has hair and eyes as well as skin.
HEAD_WIDTH_MIN = 0.3
HEAD_SKIN_MAX = 0.8
FACE_PIXELS_MIN = 8
# How far bare skin may lie from the face's tone: lightness by shading, colour hardly.
SKIN_RANGE = np.array([60, 12, 12], np.float32)
# Two garments: splitting the rows in two explains this much of the variance of their colour, and
# the halves differ by this much in 8-bit CIELAB.
SPLIT_GAIN_MIN = 0.3
SPLIT_DIFFERENCE_MIN = 24
BAND_SHARE_MIN = 0.12
# A person with a head who is cut off by the lower edge shows a top; whatever is below it, and at
# most half of the picture of the garments, is left out more readily.
WAIST_GAIN_MIN = 0.1
WAIST_DIFFERENCE_MIN = 16
WAIST_SHARE_MIN = 0.5
LEGS_SHARE_MIN = 0.05
CUT_OFF_ROWS = 3
# White stripes of a top on white paper are gaps in its mask, up to this share of the photo high.
STRIPE_SHARE = 0.15
# What would leave less than these shares of the mask was no head, no skin, no other garment.
AFTER_HEAD_MIN = 0.2
AFTER_SKIN_MIN = 0.35


def without_wearer(photo: NDArray[np.uint8], found: CutOut) -> Mask:
    """The part of its mask that is most likely for sale; photo is uint8 (H, W, 3) RGB."""
    mask, lab = found.mask, found.lab
    if _wider_than_high(mask):
        return mask
    skin = _skin(photo)
    shoulders = _shoulder_row(mask, skin)
    if shoulders is None:
        return large_parts(_largest_band(lab, mask))
    dressed = _without_head_and_skin(lab, mask, skin, shoulders)
    if not mask[-CUT_OFF_ROWS:].any():
        return large_parts(_largest_band(lab, dressed))
    left_out = mask & ~dressed
    return large_parts(_with_stripes(_top(lab, dressed)) & ~left_out)


def _wider_than_high(mask: Mask) -> bool:
    """Shoes and bags lie: whoever wears a garment stands, and garments are worn above others."""
    return bool(np.ptp(np.flatnonzero(mask.any(axis=0))) > np.ptp(np.flatnonzero(mask.any(axis=1))))


def _skin(photo: NDArray[np.uint8]) -> Mask:
    """Pixels of a skin tone, whatever they belong to (range of Chai and Ngan 1999, widened)."""
    luma_chroma = cv2.cvtColor(photo, cv2.COLOR_RGB2YCrCb)
    return np.asarray(cv2.inRange(luma_chroma, (50, 136, 77), (240, 180, 130)) > 0, np.bool_)


def _shoulder_row(mask: Mask, skin: Mask) -> int | None:
    """The row where shoulders begin below a head; None if the outline begins with no head."""
    rows = np.flatnonzero(mask.any(axis=1))
    top, height = int(rows[0]), int(rows[-1] - rows[0] + 1)
    widths = np.convolve(mask.sum(axis=1), np.full(3, 1 / 3), "same")
    widest = widths[top : top + max(3, int(0.6 * height))].max()
    head = slice(top, top + max(3, int(HEAD_SHARE * height)))
    if not HEAD_WIDTH_MIN <= widths[head].max() / widest <= HEAD_WIDTH_MAX:
        return None
    if skin[head][mask[head]].mean() < HEAD_SKIN_MIN:
        return None
    below = np.arange(top + int(0.08 * height), top + int(0.5 * height))
    wide = below[widths[below] >= HEAD_WIDTH_MAX * widest]
    if not wide.size or skin[top : wide[0]][mask[top : wide[0]]].mean() > HEAD_SKIN_MAX:
        return None
    return int(wide[0])


def _without_head_and_skin(lab: NDArray[np.uint8], mask: Mask, skin: Mask, shoulders: int) -> Mask:
    below = mask.copy()
    below[:shoulders] = False
    if below.sum() < AFTER_HEAD_MIN * mask.sum():
        return mask
    face = skin & mask
    face[shoulders:] = False
    if face.sum() < FACE_PIXELS_MIN:
        return below
    # The wearer's own tone, so that a beige garment is not taken for skin.
    tone = np.median(lab[face], axis=0)
    lowest, highest = tone - SKIN_RANGE, tone + SKIN_RANGE
    alike = cv2.inRange(lab, tuple(lowest.tolist()), tuple(highest.tolist()))
    bare = skin & (alike > 0)
    covered = (below & ~bare).astype(np.uint8)
    covered = cv2.morphologyEx(covered, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    dressed = _filled(covered) & below
    return dressed if dressed.sum() >= AFTER_SKIN_MIN * below.sum() else below


def _filled(mask: NDArray[np.uint8]) -> Mask:
    """The mask with its holes: a skin-coloured print is part of the garment around it."""
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros_like(mask)
    cv2.drawContours(filled, outlines, -1, (1,), cv2.FILLED)
    return np.asarray(filled > 0, np.bool_)


@dataclass(frozen=True, kw_only=True)
class _Split:
    """Between two rows of a mask: the last one above, and how clearly it parts two colours.

    gain: the share of the variance of colour that it explains, 0-1. difference: between the mean
    colours above and below, in 8-bit CIELAB. above: the share of the mask above it.
    """

    row: int
    gain: float
    difference: float
    above: float


def _largest_band(lab: NDArray[np.uint8], mask: Mask) -> Mask:
    """Where an upper and a lower garment differ in colour, the larger of the two."""
    split = _split(lab, mask, BAND_SHARE_MIN, BAND_SHARE_MIN)
    if split is None or split.gain < SPLIT_GAIN_MIN or split.difference < SPLIT_DIFFERENCE_MIN:
        return mask
    return _above(mask, split.row) if split.above >= 0.5 else mask & ~_above(mask, split.row)


def _top(lab: NDArray[np.uint8], mask: Mask) -> Mask:
    """The mask down to the waist, if there is one."""
    split = _split(lab, mask, WAIST_SHARE_MIN, LEGS_SHARE_MIN)
    if split is None or split.gain < WAIST_GAIN_MIN or split.difference < WAIST_DIFFERENCE_MIN:
        return mask
    return _above(mask, split.row)


def _with_stripes(mask: Mask) -> Mask:
    """The mask with what lies between two of its parts in the same column."""
    column = np.ones((max(1, round(STRIPE_SHARE * mask.shape[0])), 1), np.uint8)
    closed = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, column)
    return np.asarray(closed > 0, np.bool_)


def _above(mask: Mask, row: int) -> Mask:
    band = mask.copy()
    band[row + 1 :] = False
    return band


def _split(lab: NDArray[np.uint8], mask: Mask, above_min: float, below_min: float) -> _Split | None:
    """The row that leaves the least variance of colour above and below it.

    At least these shares of the mask are above and below; None where no row leaves as much.
    """
    inside = cv2.bitwise_and(lab, lab, mask=mask.view(np.uint8))
    counts = np.cumsum(np.count_nonzero(mask, axis=1))
    sums = np.cumsum(cv2.reduce(inside, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S)[:, 0], axis=0)
    squares = cv2.norm(inside, cv2.NORM_L2SQR)
    count, total = counts[-1], sums[-1]
    rest_counts, rest_sums = count - counts, total - sums
    possible = (counts > above_min * count) & (rest_counts > below_min * count)
    if not possible.any():
        return None
    # Sum of squares about the means = sum of squares - |sum|² / count, above and below.
    explained = (sums**2).sum(axis=1) / np.maximum(counts, 1)
    explained += (rest_sums**2).sum(axis=1) / np.maximum(rest_counts, 1)
    row = int(np.argmax(np.where(possible, explained, -np.inf)))
    variation = squares - (total**2).sum() / count
    gain = (explained[row] - (total**2).sum() / count) / max(float(variation), 1e-6)
    difference = np.abs(sums[row] / counts[row] - rest_sums[row] / rest_counts[row]).max()
    return _Split(
        row=row,
        gain=float(gain),
        difference=float(difference),
        above=float(counts[row] / count),
    )
