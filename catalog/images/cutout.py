"""Garment from background: which pixels of a small photo belong to what is being sold.

A plain background is told apart by its colour alone. Only where the border of the photo has many
colours does GrabCut (Rother et al. 2004) decide, at some twenty times the price.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

# Differences are in 8-bit CIELAB, the largest of the three channels. A background is plain where
# this share of the border is alike; any other goes the slower way, by GrabCut.
PLAIN_TOLERANCE = 10
PLAIN_SHARE_MIN = 0.6
# What differs by more than the background's own noise is garment: white shirts on clean white are
# told apart by 6 levels, while paper, shadows and JPEG artefacts need up to 14.
GARMENT_DIFFERENCE_MIN = 6
GARMENT_DIFFERENCE_MAX = 14
# GrabCut takes a frame this wide, of the longest edge, for background: a pixel or two.
FRAME_SHARE = 0.03
# At 112 pixels and three rounds it was no better within the noise, and three times as slow.
GRABCUT_PX = 64
GRABCUT_ROUNDS = 2
# Parts smaller than this share of the largest part are residue: price tags, shadows, logos.
PART_SHARE_MIN = 0.1
# A garment that fills less or more of the photo was not told apart: the whole photo is shown to
# the network, and a person looks at it (poor_image).
GARMENT_SHARE_MIN = 0.01
GARMENT_SHARE_MAX = 0.97


@dataclass(frozen=True, kw_only=True)
class CutOut:
    """mask: bool (H, W), True on the garment. plain: the background has one colour.

    lab: uint8 (H, W, 3), the photo in CIELAB. background_lightness: 0-255, of a plain background.
    failed: no garment could be told apart, and the mask is the whole photo.
    """

    mask: NDArray[np.bool_]
    lab: NDArray[np.uint8]
    plain: bool
    background_lightness: float
    failed: bool


@dataclass(frozen=True, kw_only=True)
class Background:
    """What the border of a small photo tells. lab: uint8 (H, W, 3), the photo in CIELAB.

    plain: its background has one colour; tone: float32 (3,), that colour. noise: how far a plain
    background strays from it, in 8-bit levels.
    """

    lab: NDArray[np.uint8]
    plain: bool
    tone: NDArray[np.float32]
    noise: float


def background_of(photo: NDArray[np.uint8]) -> Background:
    """Tell the plain background of a small photo, uint8 (H, W, 3) RGB, from a busy one."""
    lab = np.asarray(cv2.cvtColor(photo, cv2.COLOR_RGB2LAB), np.uint8)
    border = _border(lab)
    tone = np.asarray(np.median(border, axis=0), np.float32)
    distance = np.abs(border - tone).max(axis=1)
    alike = distance < PLAIN_TOLERANCE
    plain = bool(alike.mean() >= PLAIN_SHARE_MIN)
    return Background(
        lab=lab, plain=plain, tone=tone, noise=_noise(distance[alike]) if plain else 0.0
    )


def cut_out(photo: NDArray[np.uint8], behind: Background | None = None) -> CutOut:
    """Cut the garment out of a small photo, uint8 (H, W, 3) RGB; behind: its background_of."""
    behind = behind or background_of(photo)
    mask = _unlike(behind.lab, behind.tone, behind.noise) if behind.plain else _grab_cut(photo)
    garment_share = np.count_nonzero(mask) / mask.size
    failed = not GARMENT_SHARE_MIN <= garment_share <= GARMENT_SHARE_MAX
    return CutOut(
        mask=np.ones_like(mask) if failed else large_parts(mask),
        lab=behind.lab,
        plain=behind.plain,
        background_lightness=float(behind.tone[0]),
        failed=failed,
    )


def large_parts(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask without the parts that are small beside its largest part."""
    parts, areas = parts_of(mask)
    if len(areas) == 0:
        return mask
    kept = np.flatnonzero(areas >= PART_SHARE_MIN * areas.max()) + 1
    if len(kept) == 1:
        return np.asarray(parts == kept[0], np.bool_)
    return np.asarray(np.isin(parts, kept), np.bool_)


def parts_of(mask: NDArray[np.bool_]) -> tuple[NDArray[np.uint16], NDArray[np.int32]]:
    """The connected parts of the mask, uint16 (H, W), 0 outside, and the area of each in pixels."""
    _, parts, statistics, _ = cv2.connectedComponentsWithStats(
        mask.view(np.uint8), ltype=cv2.CV_16U
    )
    return np.asarray(parts, np.uint16), np.asarray(statistics[1:, cv2.CC_STAT_AREA], np.int32)


def _border(lab: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The colours of the border, float32 (N, 3).

    Without the lower edge: a person or a pair of trousers is often cut off there.
    """
    edges = (lab[:2], lab[:, :2], lab[:, -2:])
    return np.concatenate([edge.reshape(-1, 3) for edge in edges]).astype(np.float32)


def _noise(distance: NDArray[np.float32]) -> float:
    """How far the background strays from its own tone, in 8-bit levels: the 90th percentile."""
    # np.percentile finds the same at ten times the price.
    below, share = divmod((len(distance) - 1) * 0.9, 1)
    lower = int(below)
    upper = min(lower + 1, len(distance) - 1)
    ordered = np.partition(distance, (lower, upper))
    return float(ordered[lower] + share * (ordered[upper] - ordered[lower]))


def _unlike(lab: NDArray[np.uint8], tone: NDArray[np.float32], noise: float) -> NDArray[np.bool_]:
    least = float(np.clip(3 * noise + 2, GARMENT_DIFFERENCE_MIN, GARMENT_DIFFERENCE_MAX))
    lowest, highest = tone - least, tone + least
    different = cv2.bitwise_not(cv2.inRange(lab, tuple(lowest.tolist()), tuple(highest.tolist())))
    closed = cv2.morphologyEx(different, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    return np.asarray(closed > 0, np.bool_)


def _grab_cut(photo: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """GrabCut that takes a narrow frame for background and all else for probable garment."""
    height, width = photo.shape[:2]
    scale = min(1.0, GRABCUT_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    frame = max(1, round(FRAME_SHARE * max(size)))
    labels = np.full(small.shape[:2], cv2.GC_BGD, np.uint8)
    labels[frame:-frame, frame:-frame] = cv2.GC_PR_FGD
    if not (labels == cv2.GC_PR_FGD).any():
        return np.ones((height, width), np.bool_)  # a strip: all frame
    # GrabCut draws its first colour clusters at random: the same photo must give the same mask.
    cv2.setRNGSeed(0)
    model = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(small, labels, None, *model, GRABCUT_ROUNDS, cv2.GC_INIT_WITH_MASK)
    garment = ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).astype(np.uint8)
    opened = cv2.morphologyEx(garment, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    smooth = cv2.resize(opened * 255, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(smooth > 127, np.bool_)
