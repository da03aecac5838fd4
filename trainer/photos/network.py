"""The photo network: a backbone and a head whose prediction is the mean of its class maps.

A map is the sum of what was learned and of the best of ImageNet's own words for the category, which
stay as they are and, by a part of the loss, mean what they meant: what no photo showed the network
it still calls by them. See trainer/photos/imagenet.

Beside the categories the head has a map for what belongs to none of them. It is trained with them
and leaves the network as the last number of the embedding, where the out-of-taxonomy score finds
it: the class maps that serve are those of the categories alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from trainer.photos.backbone import Backbone
from trainer.photos.efficientnet_lite0 import lower_layers

EMBEDDING_VALUES = 128
# The strangers' logit is some ten times as large as the other values of the embedding.
STRANGER_SCALE = 0.1


@dataclass(frozen=True, kw_only=True)
class HeadShape:
    """How many words of ImageNet each category, and the strangers at the end, take the best of."""

    words: tuple[int, ...]

    @property
    def categories(self) -> int:
        return len(self.words) - 1


def build_network(backbone: Backbone, side_px: int, head: HeadShape, dropout: float) -> keras.Model:
    """Trainable: float32 (N, S, S, 3) 0-255 → scores (N, C + 1), the strangers' last."""
    images = keras.Input((side_px, side_px, 3), name="images")
    features = layers.Activation("linear", name="features")(backbone.build(images))
    dropped = layers.Dropout(dropout, name="dropout")(features)
    maps = layers.Concatenate(name="all_maps")(
        [_map(features, dropped, words, f"map{number}") for number, words in enumerate(head.words)]
    )
    scores = layers.GlobalAveragePooling2D(name="scores")(maps)
    return keras.Model(images, scores, name="photo_tagger")


def set_words(network: keras.Model, kernels: Sequence[NDArray[np.float32] | None]) -> None:
    """Put ImageNet's words into the head, for the categories that it knows."""
    for number, kernel in enumerate(kernels):
        if kernel is not None:
            network.get_layer(f"map{number}_words").set_weights([kernel[None, None]])


def spoken(network: keras.Model) -> Any | None:
    """The tensor of all words' scores, (N, W), each the mean of its map; None if it has none."""
    maps = [layer.output for layer in _word_layers(network) if layer is not None]
    if not maps:
        return None
    return layers.GlobalAveragePooling2D()(layers.Concatenate()(maps))


def word_counts(network: keras.Model) -> list[int]:
    """How many of the words of `spoken` each category and the strangers have, in order."""
    return [0 if each is None else each.filters for each in _word_layers(network)]


def _word_layers(network: keras.Model) -> list[Any]:
    """The layer with the words of each category, None where it has none."""
    by_name = {layer.name: layer for layer in network.layers}
    categories = network.output.shape[-1]
    return [by_name.get(f"map{number}_words") for number in range(categories)]


def freeze(network: keras.Model, blocks: int) -> None:
    """Leave all batch norms, ImageNet's words, and the lower part of the backbone as they are."""
    for layer in network.layers:
        norm = isinstance(layer, layers.BatchNormalization)
        layer.trainable = not norm and not layer.name.endswith("_words")
    for layer in lower_layers(network, blocks):
        layer.trainable = False


def build_explainer(network: keras.Model, projection: NDArray[np.float32]) -> keras.Model:
    """The same weights with the outputs that serve: logits, class_maps, embedding.

    `projection`: float32 (F + 1, 127), the mean feature's way into the embedding, its last row
    the offset.
    """
    features = network.get_layer("features").output
    categories = network.output.shape[-1] - 1
    maps = [network.get_layer(f"map{number}").output for number in range(categories)]
    class_maps = layers.Concatenate(name="class_maps")(maps) if categories > 1 else maps[0]
    stranger = layers.GlobalAveragePooling2D(name="stranger")(
        network.get_layer(f"map{categories}").output
    )
    project = layers.Dense(projection.shape[1], name="projection")
    looks = project(layers.GlobalAveragePooling2D(name="pooled")(features))
    project.set_weights([projection[:-1], projection[-1]])
    scaled = layers.Rescaling(STRANGER_SCALE, name="stranger_scaled")(stranger)
    return keras.Model(
        network.input,
        {
            "logits": layers.GlobalAveragePooling2D(name="logits")(class_maps),
            "class_maps": class_maps,
            "embedding": layers.Concatenate(name="embedding")([looks, scaled]),
        },
        name="photo_explainer",
    )


def fit_projection(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Principal axes of mean features float32 (N, F): float32 (F + 1, d), d at most 127."""
    mean = features.mean(axis=0)
    _, _, axes = np.linalg.svd(features - mean, full_matrices=False)
    axes = axes[: EMBEDDING_VALUES - 1].T
    return np.concatenate([axes, -(mean @ axes)[None]]).astype(np.float32)


def pooled_features(network: keras.Model, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The mean feature of each photo, float32 (N, F)."""
    features = network.get_layer("features").output
    model = keras.Model(network.input, layers.GlobalAveragePooling2D()(features))
    return np.asarray(predict(model, images), np.float32)


def predict(model: keras.Model, images: NDArray[np.uint8], batch_size: int = 64) -> Any:
    """What a model says of uint8 (N, S, S, 3), a batch at a time so that uint8 stays small."""
    import tensorflow as tf

    call = tf.function(lambda batch: model(batch, training=False))
    parts = [
        call(tf.constant(images[start : start + batch_size], tf.float32))
        for start in range(0, len(images), batch_size)
    ]
    if isinstance(parts[0], dict):
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return np.concatenate(parts)


def _map(features: Any, dropped: Any, words: int, name: str) -> Any:
    """One class map (N, h, w, 1): what is learned and the best of its words at each place."""
    start = "zeros" if words else "glorot_uniform"
    learned = layers.Conv2D(1, 1, use_bias=False, kernel_initializer=start, name=f"{name}_learned")(
        dropped
    )
    if not words:
        return layers.Activation("linear", name=name)(learned)
    maps = layers.Conv2D(words, 1, use_bias=False, name=f"{name}_words")(features)
    if words > 1:
        # Pooling over the channels, as a plain layer that any Keras loads.
        turned = layers.Permute((1, 3, 2), name=f"{name}_turned")(maps)
        best = layers.MaxPooling2D((1, words), name=f"{name}_best")(turned)
        maps = layers.Permute((1, 3, 2), name=f"{name}_word")(best)
    return layers.Add(name=name)([learned, maps])
