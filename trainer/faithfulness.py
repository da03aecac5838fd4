"""Are the explanations true? Deletion and insertion (Petsiuk et al. 2018, arXiv 1806.07421)."""

from collections.abc import Callable
from typing import Any

import cv2
import keras
import numpy as np
from numpy.typing import NDArray

from catalog.statistics import softmax

STEPS = 28
SIZE_PX = 28
# Insertion starts from a blurred image, as its authors do: pixels on black make new outlines.
BLUR_PX = 5.0
Maps = NDArray[np.float32]
# Logits float32 (N, 10) of images uint8 (N, 28, 28, 1).
Classify = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def grad_cam(class_maps: Maps, labels: NDArray[np.int64]) -> Maps:
    """ReLU(class map of the label) / Z, float32 (N, h, w): Grad-CAM without a gradient."""
    chosen = class_maps[np.arange(len(labels)), :, :, labels]
    return np.asarray(np.maximum(chosen, 0) / (chosen.shape[1] * chosen.shape[2]), np.float32)


def gradient_grad_cam(
    explainer: keras.Model, images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> Maps:
    """Grad-CAM at the layer `features` by TensorFlow's GradientTape, float32 (N, h, w).

    Selvaraju et al. 2016 (arXiv 1610.02391): the feature maps weighted by the mean gradient of
    the label's logit, summed, negative evidence cut off. Not normalised.
    """
    import tensorflow as tf

    tapped: Any = keras.Model(
        explainer.input, [explainer.get_layer("features").output, explainer.output["logits"]]
    )
    with tf.GradientTape() as tape:
        features, logits = tapped(tf.cast(images, tf.float32), training=False)
        tape.watch(features)
        # The logits must be computed from the watched tensor.
        logits = explainer.get_layer("logits")(explainer.get_layer("class_maps")(features))
        own = tf.gather(logits, labels, axis=1, batch_dims=1)
    weights = tf.reduce_mean(tape.gradient(own, features), axis=(1, 2), keepdims=True)
    return np.asarray(tf.nn.relu(tf.reduce_sum(weights * features, axis=-1)), np.float32)


def to_pixels(maps: Maps) -> Maps:
    """Enlarge maps (N, h, w) to the image's size (N, 28, 28), bilinearly."""
    return np.stack([cv2.resize(one, (SIZE_PX, SIZE_PX)) for one in maps])


def deletion_auc(
    classify: Classify, images: NDArray[np.uint8], labels: NDArray[np.int64], maps: Maps
) -> float:
    """Mean confidence while the most important pixels turn black first: low is good."""
    return _curve_area(classify, images, np.zeros_like(images), labels, maps)


def insertion_auc(
    classify: Classify, images: NDArray[np.uint8], labels: NDArray[np.int64], maps: Maps
) -> float:
    """Mean confidence while the most important pixels appear first: high is good."""
    blurred = np.stack([cv2.GaussianBlur(image, (0, 0), BLUR_PX) for image in images])[..., None]
    return _curve_area(classify, blurred, images, labels, maps)


def _curve_area(
    classify: Classify,
    start: NDArray[np.uint8],
    end: NDArray[np.uint8],
    labels: NDArray[np.int64],
    maps: Maps,
) -> float:
    """Area under the confidence while `start` becomes `end`, 1/28 of the pixels a step, 0-1."""
    # Ties (large flat areas of zero) are broken the same way for every map.
    order = np.argsort(-maps.reshape(len(maps), -1), axis=1, kind="stable")
    rank = np.argsort(order, axis=1).reshape(len(maps), SIZE_PX, SIZE_PX, 1)
    curve = []
    for step in range(STEPS + 1):
        changed = rank < step * SIZE_PX * SIZE_PX / STEPS
        confidences = softmax(classify(np.where(changed, end, start)))
        curve.append(confidences[np.arange(len(labels)), labels].mean())
    return float(np.trapezoid(curve, dx=1 / STEPS))
