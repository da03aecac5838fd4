"""How fast classifiers are on this machine, side by side."""

import time
from collections.abc import Sequence
from statistics import median

import numpy as np
from numpy.typing import NDArray

from catalog.bundle import Bundle
from catalog.check_predictions import read_check
from catalog.networks import PictureKind
from worker.tagging.classifier import Classifier, ServingNetwork

BATCH = 64
ROUNDS = 15


def ms_per_image(bundles: Sequence[Bundle], *, threads: int = 1) -> list[float]:
    """The median CPU time of each bundle's network for busy photos, in ms per image of 64.

    This process's own time, not the clock's: what else the machine does hardly counts.
    """
    networks = [_network_and_images(bundle, threads) for bundle in bundles]
    spent: list[list[float]] = [[] for _ in networks]
    for _ in range(ROUNDS):
        for (network, images), times in zip(networks, spent, strict=True):
            started = time.process_time()
            network.classify(images)
            times.append(time.process_time() - started)
    return [1000 * median(times) / BATCH for times in spent]


def _network_and_images(bundle: Bundle, threads: int) -> tuple[ServingNetwork, NDArray[np.uint8]]:
    name = bundle.manifest.judge_of(PictureKind.BUSY)
    images = read_check(bundle.parts[name]).images
    network = Classifier(bundle, threads=threads).networks[name]
    return network, np.resize(images, (BATCH, *network.network.input))
