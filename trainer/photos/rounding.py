"""Kernels on int8's grid whose rounding errors cancel where the picture is even.

Rounding to nearest leaves the nine or 25 weights of a depthwise kernel with an error in their sum,
which shifts whole areas of one shade, and every layer above. Rounding a few of them to the other
neighbour keeps the sum (a small case of what Nagel et al. 2020, arXiv 2004.10568, learn). It costs
nothing when serving: the converter finds kernels that are on its grid already.
"""

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from trainer.photos.network import predict

LEVELS = 127
# A turn to the other neighbour that costs no precision still has to be worth it.
TURN_COST = 0.05


def rounded_network(network: keras.Model, shown: NDArray[np.uint8]) -> keras.Model:
    """A copy with the kernels of its convolutions on int8's grid, each output channel's own.

    shown: uint8 (N, S, S, 3), photos that say what each layer is given on average.
    """
    copied = keras.models.clone_model(network)
    copied.set_weights(network.get_weights())
    convolutions = [each for each in copied.layers if _is_plain(each)]
    means = _mean_inputs(copied, convolutions, shown)
    for layer in convolutions:
        kernel, *others = layer.get_weights()
        layer.set_weights([_rounded_kernel(layer, kernel, means[layer.name]), *others])
    return copied


def rounded(weights: NDArray[np.float32], means: NDArray[np.float32]) -> NDArray[np.float32]:
    """One output channel's weights (T,) on int8's grid, what `means` (T,) bring to it as before.

    Each weight goes to one of its two neighbours; the largest, which sets the grid, stays.
    """
    step = np.abs(weights).max() / LEVELS
    if step == 0:
        return weights
    exact = weights / step
    whole = np.round(exact)
    turn = np.where(exact > whole, 1.0, -1.0)
    change, cost = turn * means, 1 - 2 * np.abs(whole - exact)
    free = np.abs(exact) < LEVELS - 0.5
    error = float((whole - exact) @ means)
    while True:
        gain = abs(error) - np.abs(error + change)
        worth = np.where(free & (gain > 1e-9), gain / (cost + TURN_COST), 0.0)
        best = int(worth.argmax())
        if worth[best] <= 0:
            return np.asarray(whole * step, np.float32)
        whole[best] += turn[best]
        error += change[best]
        free[best] = False


def _is_plain(layer: keras.Layer) -> bool:
    if isinstance(layer, layers.DepthwiseConv2D):
        return bool(layer.depth_multiplier == 1)
    return isinstance(layer, layers.Conv2D) and layer.groups == 1


def _mean_inputs(
    network: keras.Model, convolutions: Sequence[keras.Layer], shown: NDArray[np.uint8]
) -> dict[str, NDArray[np.float32]]:
    """What each layer is given on average, float32 (channels,), by its name."""
    means = {each.name: layers.GlobalAveragePooling2D()(each.input) for each in convolutions}
    found = predict(keras.Model(network.input, means), shown)
    return {name: values.mean(axis=0) for name, values in found.items()}


def _rounded_kernel(
    layer: keras.Layer, kernel: NDArray[np.float32], means: NDArray[np.float32]
) -> NDArray[np.float32]:
    """kernel: (h, w, channels in, channels out), or (h, w, channels, 1) where each is alone."""
    height, width, _, outputs = kernel.shape
    if isinstance(layer, layers.DepthwiseConv2D):
        columns, given = kernel.reshape(height * width, -1), np.ones(height * width, np.float32)
    else:
        columns, given = kernel.reshape(-1, outputs), np.tile(means, height * width)
    return np.stack([rounded(each, given) for each in columns.T], axis=1).reshape(kernel.shape)
