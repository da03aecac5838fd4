"""How much can be learnt from an item, and which items look alike.

What is worth anything is worth 0-1; an item of whose look-alike people said otherwise has 1 more.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from catalog.networks import NetworkName
from catalog.outcomes import FlagReason

BUCKET_BITS = 12
FLIPPED = 6  # of these the weakest, to find the buckets beside an embedding's own
# Somebody disagrees already: at least as instructive as the most uncertain tagging.
DISPUTED_MIN = 0.9
DISPUTING = (FlagReason.DECLARED_LABEL_CONFLICT.value, FlagReason.LABEL_CHANGED_ON_RETAG.value)


def disagreement(confidences: Sequence[float], reasons: Sequence[str]) -> float:
    """How far opinions on an item are apart, 0-1.

    The entropy of the confidences over that of an even spread (Settles 2009, "Active Learning
    Literature Survey", 2.1); at least 0.9 where the shop or another model says otherwise.
    """
    entropy = -sum(each * math.log(each) for each in confidences if each > 0)
    spread = min(1.0, max(0.0, entropy / math.log(max(2, len(confidences)))))
    return max(spread, DISPUTED_MIN) if any(each in DISPUTING for each in reasons) else spread


def novelty(alike: int) -> float:
    """What an item adds when `alike` items of its bucket were there before it, 0-1."""
    return 1 / math.sqrt(1 + alike)


def bucket(embedding: bytes, network: NetworkName) -> int:
    """The look-alikes' number of an embedding, float16 (d,) as bytes: 0-4095."""
    return _number(_sides(np.frombuffer(embedding, np.float16), network))


def near_buckets(embedding: bytes, network: NetworkName, count: int) -> list[int]:
    """The likeliest buckets of look-alikes, the own one first; fewer where the embedding is short.

    Those that the least change of the embedding would lead to (Lv et al. 2007, "Multi-Probe LSH").
    Of real photos above the likeness at which nine of ten pairs show one category, a seventh to a
    fifth share a bucket, and 45 to 80 % one of eight.
    """
    sides = _sides(np.frombuffer(embedding, np.float16), network)
    distances = np.abs(sides)
    weakest = np.argsort(distances, kind="stable")[:FLIPPED]
    choices = _choices(len(weakest))
    nearest = np.argsort(choices @ distances[weakest], kind="stable")[:count]
    flips = choices[nearest] @ (1 << weakest)
    return [_number(sides) ^ int(flip) for flip in flips]


def _number(sides: NDArray[np.float32]) -> int:
    return int((sides > 0) @ (1 << np.arange(len(sides))))


@lru_cache(maxsize=8)
def _choices(count: int) -> NDArray[np.int64]:
    """Every choice among so many, int64 (2^count, count) of 0 and 1; the first is none of them."""
    return np.arange(1 << count)[:, None] >> np.arange(count) & 1


def _sides(values: NDArray[np.float16], network: NetworkName) -> NDArray[np.float32]:
    """On which side of each of at most 12 borders an embedding lies, and how far from it.

    The photo network's values are principal axes around the mean, the longest first: their signs.
    Of others which of two fixed random dimensions is larger, so that neither scale nor offset
    matters (Yagnik et al. 2011, "The Power of Comparative Reasoning").
    """
    if network is NetworkName.PHOTO:
        return values[:BUCKET_BITS].astype(np.float32)
    if len(values) < 2:
        return np.zeros(0, np.float32)
    first, second = _pairs(len(values))
    return values[first].astype(np.float32) - values[second].astype(np.float32)


@lru_cache(maxsize=8)
def _pairs(dimensions: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    random = np.random.default_rng(0)
    pairs = np.array([random.choice(dimensions, 2, replace=False) for _ in range(BUCKET_BITS)])
    return pairs[:, 0], pairs[:, 1]
