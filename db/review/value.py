"""How much can be learnt from an item, and which items look alike."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from catalog.outcomes import FlagReason

BUCKET_BITS = 12
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


def bucket(embedding: bytes) -> int:
    """The look-alikes' number of an embedding, float16 (d,) as bytes: 0-4095.

    Bit i says which of two fixed random dimensions is larger. It depends on the order of the
    dimensions only, so neither scale nor offset matters (Yagnik et al. 2011, "The Power of
    Comparative Reasoning").
    """
    values = np.frombuffer(embedding, np.float16)
    if len(values) < 2:
        return 0
    first, second = _pairs(len(values))
    bits = values[first] > values[second]
    return int(bits @ (1 << np.arange(BUCKET_BITS)))


@lru_cache(maxsize=8)
def _pairs(dimensions: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    random = np.random.default_rng(0)
    pairs = np.array([random.choice(dimensions, 2, replace=False) for _ in range(BUCKET_BITS)])
    return pairs[:, 0], pairs[:, 1]
