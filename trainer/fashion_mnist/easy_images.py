"""Let part of what a network knows already rest, epoch by epoch, and count the others for it.

InfoBatch (Qin et al. 2023, arXiv 2303.04947): of the images whose loss is below the mean, a random
share is left out of each epoch and the rest of them weigh more, so that the expected gradient
stays that of the whole set. Here the losses are those of the network that a run starts from,
measured once, so that a resumed run leaves out the same images.
"""

from dataclasses import dataclass

import keras
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from catalog.statistics import log_sum_exp
from trainer.fashion_mnist.dataset import Split
from trainer.fashion_mnist.network import logits_of


@dataclass(frozen=True, kw_only=True)
class EasyImages:
    """Which images may rest, and how many of them do."""

    mask: NDArray[np.bool_]  # (N,): of all training images
    share: float  # of the easy ones that rests in an epoch, 0-1

    @property
    def resting(self) -> int:
        """Images left out of each epoch."""
        return int(self.mask.sum() * self.share)

    def thin(self, order: NDArray[np.int64], rng: Generator) -> NDArray[np.int64]:
        """An epoch's order, int64 (N,), without those easy images whose turn it is to rest."""
        rests = np.zeros(len(self.mask), bool)
        rests[rng.permutation(np.flatnonzero(self.mask))[: self.resting]] = True
        return order[~rests[order]]

    def weights(self, chosen: NDArray[np.int64]) -> NDArray[np.float32]:
        """What each of the images `chosen` counts for, float32 (N,): 1, or more for easy ones."""
        easy = int(self.mask.sum())
        heavier = easy / max(1, easy - self.resting)
        return np.where(self.mask[chosen], heavier, 1).astype(np.float32)


def none_easy(images: int) -> EasyImages:
    """Every one of `images` is seen in every epoch, and counts once."""
    return EasyImages(mask=np.zeros(images, bool), share=0.0)


def find_easy_images(network: keras.Model, data: Split, share: float) -> EasyImages:
    """Let `share` rest of the images in `data` that `network` finds easier than the mean."""
    logits = logits_of(network, data.images).astype(np.float64)
    losses = log_sum_exp(logits) - logits[np.arange(len(data)), data.labels]
    return EasyImages(mask=losses < losses.mean(), share=share)
