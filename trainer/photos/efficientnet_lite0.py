"""EfficientNet-Lite0 in plain Keras layers: depthwise, ReLU6, no squeeze-and-excite, so int8 fits.

Structure: Tan and Le 2019 (arXiv 1905.11946) as tensorflow/tpu's efficientnet/lite builds it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

NAME = "efficientnet-lite0"
STEM_CHANNELS = 32
FEATURE_CHANNELS = 1_280
IMAGENET_CLASSES = 1_000
# As trained: (pixel - 127) / 128.
PIXEL_MEAN, PIXEL_SCALE = 127.0, 128.0
NORM_EPSILON = 1e-3


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Blocks of one kind; only the first of them has the stride."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    Stage(blocks=1, kernel=3, stride=1, expansion=1, channels=16),
    Stage(blocks=2, kernel=3, stride=2, expansion=6, channels=24),
    Stage(blocks=2, kernel=5, stride=2, expansion=6, channels=40),
    Stage(blocks=3, kernel=3, stride=2, expansion=6, channels=80),
    Stage(blocks=3, kernel=5, stride=1, expansion=6, channels=112),
    Stage(blocks=4, kernel=5, stride=2, expansion=6, channels=192),
    Stage(blocks=1, kernel=3, stride=1, expansion=6, channels=320),
)


def build(images: Any) -> Any:
    """uint8 or float32 (N, S, S, 3) 0-255 → features float32 (N, S/32, S/32, 1280)."""
    x = layers.Rescaling(1 / PIXEL_SCALE, offset=-PIXEL_MEAN / PIXEL_SCALE, name="scale")(images)
    x = _convolution(x, STEM_CHANNELS, "stem", kernel=3, stride=2)
    number = 0
    for stage in STAGES:
        for block in range(stage.blocks):
            x = _block(x, stage, stage.stride if block == 0 else 1, f"block{number}")
            number += 1
    return _convolution(x, FEATURE_CHANNELS, "top")


def weights_of(model: keras.Model) -> dict[str, NDArray[np.float32]]:
    """The backbone's weights by `layer/weight`, of any model that `build` is part of."""
    return {
        f"{layer.name}/{weight.name}": np.asarray(weight, np.float32)
        for layer in backbone_layers(model)
        for weight in layer.weights
    }


def set_weights(model: keras.Model, weights: Mapping[str, NDArray[np.floating]]) -> None:
    """Put weights of `weights_of` into another model's backbone."""
    for layer in backbone_layers(model):
        if layer.weights:
            layer.set_weights([weights[f"{layer.name}/{each.name}"] for each in layer.weights])


def backbone_layers(model: keras.Model) -> list[Any]:
    """The layers that `build` made, in order; empty for another backbone."""
    names = ("stem_", "block", "top_")
    return [layer for layer in model.layers if layer.name.startswith(names)]


def lower_layers(model: keras.Model, blocks: int) -> list[Any]:
    """The stem and the first `blocks` blocks, in order; none of a backbone without blocks."""
    if not blocks:
        return []
    names = ("stem_", *(f"block{number}_" for number in range(blocks)))
    return [layer for layer in backbone_layers(model) if layer.name.startswith(names)]


def _block(x: Any, stage: Stage, stride: int, name: str) -> Any:
    """Expand, convolve each channel by itself, project; beside a shortcut where shapes allow."""
    channels = x.shape[-1]
    y = x
    if stage.expansion > 1:
        y = _convolution(y, channels * stage.expansion, f"{name}_expand")
    y = layers.DepthwiseConv2D(
        stage.kernel, strides=stride, padding="same", use_bias=False, name=f"{name}_depthwise"
    )(y)
    y = layers.ReLU(6.0, name=f"{name}_depthwise_relu")(_norm(y, f"{name}_depthwise"))
    y = layers.Conv2D(stage.channels, 1, use_bias=False, name=f"{name}_project")(y)
    y = _norm(y, f"{name}_project")
    if stride == 1 and channels == stage.channels:
        y = layers.Add(name=f"{name}_add")([x, y])
    return y


def _convolution(x: Any, channels: int, name: str, kernel: int = 1, stride: int = 1) -> Any:
    x = layers.Conv2D(
        channels, kernel, strides=stride, padding="same", use_bias=False, name=f"{name}_conv"
    )(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(_norm(x, name))


def _norm(x: Any, name: str) -> Any:
    return layers.BatchNormalization(epsilon=NORM_EPSILON, name=f"{name}_norm")(x)
