"""What each way of learning makes of photos that it did not learn from."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from catalog.out_of_taxonomy import two_banks
from trainer.fashion_mnist.dataset import Split
from trainer.fashion_mnist.network import logits_of
from trainer.fine_tuning import Base, Learner, embedding_of
from trainer.photo_rule import banks
from trainer.shop_photos import ShopPhotos


@dataclass(frozen=True, kw_only=True)
class OutOfFold:
    """What was said of each of N photos by a network that was not shown it: logits float32
    (N, 10), and how strange it was, float32 (N,), higher is stranger."""

    logits: NDArray[np.float32]
    strangeness: NDArray[np.float32]

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The label of each, 0-9."""
        return np.asarray(self.logits.argmax(axis=1), np.int64)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One learner against the base on the same held-out photos.

    `accuracy` 0-1; `better` and `worse`: photos that only the learner, or only the base, has
    right; `doubt`: how likely chance alone makes the difference (one-sided sign test, McNemar).
    """

    accuracy: float
    better: int
    worse: int
    doubt: float


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The chosen learner's name, `base` where none is surely better, and all comparisons."""

    name: str
    comparisons: Mapping[str, Comparison]


def folds_of(labels: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """A fold for each item, int64 (N,), 0 to count - 1; every label is spread over all folds."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    fold = np.empty(len(labels), np.int64)
    fold[order] = np.arange(len(labels)) % count
    return fold


def cross_fit(
    base: Base, photos: ShopPhotos, learner: Learner, fold: NDArray[np.int64], seed: int
) -> OutOfFold:
    """Learn from all folds but one and look at that one, for each; the base is restored."""
    logits = np.empty((len(photos), base.replay_targets.shape[1]), np.float32)
    strangeness = np.empty(len(photos), np.float32)
    for number in np.unique(fold):
        held_out = fold == number
        others = photos.take(~held_out)
        learner(base, known_photos(others), seed)
        logits[held_out] = logits_of(base.network, photos.images[held_out])
        embed = partial(embedding_of, base.network)
        strangeness[held_out] = two_banks(
            logits[held_out], embed(photos.images[held_out]), banks(embed, others, base.replay)
        )
    base.restore()
    return OutOfFold(logits=logits, strangeness=strangeness)


def choose(
    labels: NDArray[np.int64], found: Mapping[str, OutOfFold], *, doubt_max: float
) -> Choice:
    """The most accurate learner that is better than `base` beyond doubt, or `base`.

    The doubt is shared between those that are tried (Bonferroni).
    """
    known = labels >= 0
    base_right = found["base"].predicted[known] == labels[known]
    comparisons = {}
    for name, each in found.items():
        right = each.predicted[known] == labels[known]
        better, worse = int((right & ~base_right).sum()), int((base_right & ~right).sum())
        doubt = 1.0
        if better + worse:
            doubt = float(binomtest(better, better + worse, alternative="greater").pvalue)
        comparisons[name] = Comparison(
            accuracy=float(right.mean()) if right.size else 0.0,
            better=better,
            worse=worse,
            doubt=doubt,
        )
    tried = max(1, len(comparisons) - 1)
    good = [name for name, each in comparisons.items() if each.doubt <= doubt_max / tried]
    best = max(good, key=lambda name: comparisons[name].accuracy, default="base")
    return Choice(name=best, comparisons=comparisons)


def known_photos(photos: ShopPhotos) -> Split:
    """Those that belong to a class, as training data."""
    return Split(images=photos.images[photos.known], labels=photos.labels[photos.known])
