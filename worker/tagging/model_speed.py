"""How fast classifiers are on this machine, side by side."""

import time
from collections.abc import Sequence
from statistics import median

import numpy as np

from catalog.bundle import Bundle
from catalog.check_predictions import read_check
from worker.tagging.classifier import Classifier

BATCH = 64
ROUNDS = 15


def ms_per_image(bundles: Sequence[Bundle], *, threads: int = 1) -> list[float]:
    """The median time of each bundle's classifier on batches of 64, in milliseconds per image.

    They take turns, so that whatever else the machine does slows all of them alike.
    """
    classifiers = [Classifier(bundle, threads=threads) for bundle in bundles]
    images = np.resize(read_check(bundles[0]).images, (BATCH, *bundles[0].manifest.input_shape))
    spent: list[list[float]] = [[] for _ in classifiers]
    for _ in range(ROUNDS):
        for classifier, times in zip(classifiers, spent, strict=True):
            started = time.perf_counter()
            classifier.classify(images)
            times.append(time.perf_counter() - started)
    return [1000 * median(times) / BATCH for times in spent]
