"""Picture → input of one of a bundle's networks, as each of them was trained for."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from catalog.images.model_input import Glance, Square, glance, model_input
from catalog.images.photo_input import photo_input
from catalog.networks import NetworkName


@dataclass(frozen=True, kw_only=True)
class InputKind:
    """What a network takes: which steps, and how many pixels a side."""

    network: NetworkName
    side_px: int


@dataclass(frozen=True, kw_only=True)
class NetworkInput:
    """One picture ready for one network.

    pixels: uint8 (28, 28, 1) or (S, S, 3), 0-255. square: the part of the decoded picture that
    they show. poor: why a person should look at the picture whatever the network says, or None.
    """

    pixels: NDArray[np.uint8]
    square: Square
    poor: str | None


def network_input(
    picture: NDArray[np.uint8], kind: InputKind, seen: Glance | None = None
) -> NetworkInput:
    """A decoded picture, uint8 (H, W, 3) RGB, as the network of that kind takes it.

    seen: the picture's glance, where it was had before.
    """
    seen = seen or glance(picture)
    if kind.network is NetworkName.REDUCED:
        reduced = model_input(picture, seen)
        return NetworkInput(pixels=reduced.pixels, square=reduced.square, poor=reduced.poor)
    found = photo_input(picture, kind.side_px)
    # Of a picture that came reduced, how sharp it is tells nothing.
    poor = model_input(picture, seen).poor if seen.working is None else seen.unclear
    return NetworkInput(pixels=found.pixels, square=found.square, poor=poor)
