"""A photo network out of a bundle, ready to learn more, with the categories of a later taxonomy.

What it learns is one map of its own beside what it had: at nothing, that is the old network. It
works on whatever head the bundle's network has, and a network that was adapted before learns on.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from catalog.bundle import BundleError, Part
from catalog.taxonomy.model import Taxonomy
from trainer.photos.efficientnet_lite0 import backbone_layers
from trainer.photos.network import STRANGER_SCALE
from trainer.source_model import load_source_model

LEARNED, CARRIED, MAPS = "learned_maps", "carried_maps", "maps_with_learned"
STRANGER_LEARNED, STRANGER_MAP = "learned_stranger", "stranger_with_learned"
DROPOUT = 0.2


@dataclass(frozen=True, kw_only=True)
class OpenedNetwork:
    """network: float32 (N, S, S, 3) 0-255 → scores (N, C + 1), the strangers' last.

    labels: the C categories; added: those of them that it never saw. learned: the layers whose
    kernels are all that learning the head changes, of the categories and of the strangers. maps:
    class maps (N, h, w, C) and the strangers' (N, h, w, 1). projection: the mean feature's way into
    the embedding, as the bundle has it, float32 (F, d), and its offset float32 (d,). weights: what
    it was when it was opened.
    """

    network: keras.Model
    labels: tuple[str, ...]
    added: tuple[str, ...]
    learned: tuple[Any, Any]
    maps: tuple[Any, Any]
    projection: tuple[NDArray[np.float32], NDArray[np.float32]]
    side_px: int
    weights: tuple[NDArray[Any], ...]

    def restore(self) -> None:
        """Forget everything learned since it was opened."""
        self.network.set_weights(self.weights)

    def add_to_head(self, kernel: NDArray[np.float32]) -> None:
        """Add to what the head learned, float32 (F, C + 1)."""
        parts = (kernel[:, :-1], kernel[:, -1:])
        for layer, part in zip(self.learned, parts, strict=True):
            layer.set_weights([layer.get_weights()[0] + part[None, None]])

    def looks_of(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """What mean features float32 (N, F) are in the embedding, float32 (N, d)."""
        return np.asarray(features @ self.projection[0] + self.projection[1], np.float32)

    def explainer(self) -> keras.Model:
        """The same weights with the outputs that serve: logits, class_maps, embedding."""
        class_maps, stranger_map = self.maps
        pooled = layers.GlobalAveragePooling2D(name="pooled")(features_of(self.network))
        project = layers.Dense(self.projection[0].shape[1], name="projection")
        looks = project(pooled)
        project.set_weights(list(self.projection))
        stranger = layers.GlobalAveragePooling2D(name="stranger")(stranger_map)
        scaled = layers.Rescaling(STRANGER_SCALE, name="stranger_scaled")(stranger)
        return keras.Model(
            self.network.input,
            {
                "logits": layers.GlobalAveragePooling2D(name="logits")(class_maps),
                "class_maps": class_maps,
                "embedding": layers.Concatenate(name="embedding")([looks, scaled]),
            },
            name="photo_explainer",
        )


def open_network(part: Part, taxonomy: Taxonomy, shown: Collection[str] = ()) -> OpenedNetwork:
    """The photo network of a bundle. taxonomy: of the bundle, or a later version of it.

    shown: categories to learn from photos, which the network may be without so far.

    Raises:
        BundleError: it is not a network of `tagger train photos`.
    """
    explainer = load_source_model(part)
    earlier = _earlier(explainer)
    try:
        projection = explainer.get_layer("projection").get_weights()
        features, (maps, stranger) = features_of(explainer), _maps_of(explainer, part.labels)
    except ValueError as error:
        raise BundleError(
            f"Expected a photo network of `tagger train photos` in {part.folder}, found: {error}. "
            "Train it there; a network of another make cannot be adapted."
        ) from error
    labels = labels_after(part.labels, taxonomy, shown)
    carried = carried_over(part.labels, labels, taxonomy)
    if earlier and labels == part.labels:
        learned = tuple(
            explainer.get_layer(f"{name}{earlier}") for name in (LEARNED, STRANGER_LEARNED)
        )
    else:
        if labels != part.labels:
            taken = _maps_layer(carried.shape[1], f"{CARRIED}{earlier + 1}")
            maps = taken(maps)
            taken.set_weights([carried[None, None]])
        learned = (
            _maps_layer(carried.shape[1], f"{LEARNED}{earlier + 1}"),
            _maps_layer(1, f"{STRANGER_LEARNED}{earlier + 1}"),
        )
        dropped = layers.Dropout(DROPOUT, name=f"dropout_learned{earlier + 1}")(features)
        maps = layers.Add(name=f"{MAPS}{earlier + 1}")([maps, learned[0](dropped)])
        stranger = layers.Add(name=f"{STRANGER_MAP}{earlier + 1}")([stranger, learned[1](dropped)])
    both = layers.Concatenate(name="scored_maps")([maps, stranger])
    scores = layers.GlobalAveragePooling2D(name="scores")(both)
    network = keras.Model(explainer.input, scores, name="photo_tagger")
    return OpenedNetwork(
        network=network,
        labels=labels,
        added=tuple(
            label for label, column in zip(labels, carried.T, strict=True) if not column.any()
        ),
        learned=(learned[0], learned[1]),
        maps=(maps, stranger),
        projection=(projection[0], projection[1]),
        side_px=part.network.input[0],
        weights=tuple(network.get_weights()),
    )


def labels_after(
    labels: tuple[str, ...], taxonomy: Taxonomy, shown: Collection[str]
) -> tuple[str, ...]:
    """The categories that a network has after it learned, in the taxonomy's order.

    Those that the old ones are now, and those that photos show; of no other could it say anything.
    """
    kept = {target for label in labels for target in _targets(label, taxonomy)}
    return tuple(label for label in taxonomy.ids if label in kept or label in shown)


def carried_over(
    labels: tuple[str, ...], wanted: tuple[str, ...], taxonomy: Taxonomy
) -> NDArray[np.float32]:
    """How much of each old map a wanted category's map starts with, float32 (C, C').

    A renamed category keeps its map, a merged one has the mean of several, parts of a split one
    start alike, an added one starts at nothing.
    """
    place = {label: number for number, label in enumerate(wanted)}
    carried = np.zeros((len(labels), len(place)), np.float32)
    for row, label in enumerate(labels):
        for target in _targets(label, taxonomy):
            if target in place:
                carried[row, place[target]] = 1
    return np.asarray(carried / np.maximum(carried.sum(axis=0), 1), np.float32)


def _targets(label: str, taxonomy: Taxonomy) -> tuple[str, ...]:
    """What an old label is in the taxonomy."""
    told = taxonomy.replaces.categories if taxonomy.replaces is not None else {}
    return told.get(label, (label,))


def features_of(model: keras.Model) -> Any:
    """The last features of a photo network, (N, h, w, F)."""
    return model.get_layer("features").output


def freeze(network: keras.Model, blocks: int) -> None:
    """Leave batch norms, fixed maps and the lower blocks of the backbone as they are."""
    lower = ("stem_", *(f"block{number}_" for number in range(blocks)))
    fixed = {layer.name for layer in backbone_layers(network) if layer.name.startswith(lower)}
    for layer in network.layers:
        layer.trainable = not (
            isinstance(layer, layers.BatchNormalization)
            or layer.name in fixed
            or layer.name.startswith(CARRIED)
            or layer.name.endswith("_words")
        )


def _maps_layer(count: int, name: str) -> Any:
    return layers.Conv2D(count, 1, use_bias=False, kernel_initializer="zeros", name=name)


def _maps_of(explainer: keras.Model, labels: tuple[str, ...]) -> tuple[Any, Any]:
    """The class maps (N, h, w, C) and the strangers' (N, h, w, 1)."""
    if earlier := _earlier(explainer):
        names = f"{MAPS}{earlier}", f"{STRANGER_MAP}{earlier}"
        return explainer.get_layer(names[0]).output, explainer.get_layer(names[1]).output
    maps = [explainer.get_layer(f"map{number}").output for number in range(len(labels) + 1)]
    return layers.Concatenate(name="first_maps")(maps[:-1]), maps[-1]


def _earlier(explainer: keras.Model) -> int:
    """The number of the latest map that was learned in an adaptation; 0: there was none."""
    found = [re.fullmatch(rf"{LEARNED}(\d+)", layer.name) for layer in explainer.layers]
    return max((int(each[1]) for each in found if each), default=0)
