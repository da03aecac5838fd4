"""The network: a small residual CNN whose prediction is the mean of its explanation."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from trainer.fashion_mnist.batch_norm import BatchNormalization
from trainer.fashion_mnist.classes import LABELS
from trainer.fashion_mnist.config import TrainConfig
from trainer.fashion_mnist.dataset import Split
from trainer.serving_model import Outputs, joined

INPUT_SHAPE = (28, 28, 1)


def build_network(config: TrainConfig) -> keras.Model:
    """The trainable model: float32 (N, 28, 28, 1) 0-255 → class scores float32 (N, 10).

    The last two layers are a 1×1 convolution to the ten classes, without bias, and a global
    average: logits = mean over h, w of class_maps, exactly.
    """
    images = keras.Input(INPUT_SHAPE, name="images")
    x = difference_from_background(layers.Rescaling(1 / 255, dtype="float32", name="scale")(images))
    kernel = 4 if config.stem_stride == 2 else 3
    x = _convolution(x, config.stem_channels, kernel, config.stem_stride, name="stem")
    for stage, width in enumerate(config.widths, start=1):
        for block in range(1, config.blocks + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            x = _residual(x, width, stride, name=f"stage{stage}_block{block}")
    # From here on in float32, whatever the rest trains in: class scores differ in the third digit.
    x = layers.Activation("linear", dtype="float32", name="features")(x)
    class_maps = layers.Conv2D(len(LABELS), 1, use_bias=False, dtype="float32", name="class_maps")(
        x
    )
    logits = layers.GlobalAveragePooling2D(dtype="float32", name="logits")(class_maps)
    return keras.Model(images, logits, name="tagger")


def build_explainer(network: keras.Model) -> keras.Model:
    """The same weights with the three outputs that serve: logits, class_maps, embedding."""
    features = network.get_layer("features").output
    embedding = layers.GlobalAveragePooling2D(name="embedding")(features)
    return keras.Model(
        network.input,
        {
            "logits": network.get_layer("logits").output,
            "class_maps": network.get_layer("class_maps").output,
            "embedding": embedding,
        },
        name="explainer",
    )


def predict(explainer: keras.Model, images: NDArray[np.uint8]) -> Outputs:
    """The Keras model's word on uint8 (N, 28, 28, 1)."""
    return joined([explainer.predict(images.astype(np.float32), batch_size=250, verbose=0)])


def logits_of(network: keras.Model, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Float32 (N, 10) of uint8 images (N, 28, 28, 1)."""
    return np.asarray(network.predict(images.astype(np.float32), batch_size=250, verbose=0))


def accuracy(network: keras.Model, data: Split) -> float:
    """Share of labels that the network gets right, 0-1."""
    return float((logits_of(network, data.images).argmax(axis=1) == data.labels).mean())


def difference_from_background(x: Any) -> Any:
    """Replace each pixel by its distance from the tone of the four corners: (N, 28, 28, 1), 0-1.

    A picture and its negative become the same input, so the network need not learn inversion.
    The tone is the mean of the 2×2 pixels in each corner: one noisy pixel moves it little.
    """
    corners = layers.AveragePooling2D(2, name="patches")(x)[:, ::13, ::13]
    tone = layers.GlobalAveragePooling2D(keepdims=True, name="background")(corners)
    return keras.ops.absolute(x - tone)


def _convolution(x: Any, channels: int, kernel: int, stride: int, name: str) -> Any:
    x = _conv(channels, kernel, stride, f"{name}_conv")(x)
    x = _normalisation(name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _residual(x: Any, channels: int, stride: int, name: str) -> Any:
    """Two 3×3 convolutions beside a shortcut (He et al. 2015, arXiv 1512.03385)."""
    y = _convolution(x, channels, 3, stride, name=f"{name}_a")
    y = _conv(channels, 3, 1, f"{name}_b_conv")(y)
    y = _normalisation(name=f"{name}_b_norm")(y)
    shortcut = x
    if stride > 1:
        # Averages before it thins out, so that no pixel is dropped (ResNet-D).
        shortcut = layers.AveragePooling2D(stride, name=f"{name}_pool")(shortcut)
    if shortcut.shape[-1] != channels:
        shortcut = _conv(channels, 1, 1, f"{name}_shortcut")(shortcut)
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([y, shortcut]))


def _normalisation(name: str) -> Any:
    # Only PyTorch gains by the fused layer; elsewhere the saved model stays free of our classes.
    kind = BatchNormalization if keras.backend.backend() == "torch" else layers.BatchNormalization
    # 0.9: running statistics that keep up with the averaged weights.
    return kind(momentum=0.9, name=name)


def _conv(channels: int, kernel: int, stride: int, name: str) -> Callable[[Any], Any]:
    convolution: Callable[[Any], Any] = layers.Conv2D(
        channels,
        kernel,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )
    return convolution
