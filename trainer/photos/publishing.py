"""The photo network's part of a bundle: its files, and what the manifest says of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from catalog.check_predictions import clear_cases
from catalog.images.preprocessing import preprocessing_of
from catalog.networks import NetworkName
from trainer.photo_rule import FittedRule
from trainer.photos.backbone import Backbone
from trainer.photos.data import PhotoSet
from trainer.photos.export import Exported, export_photo_network, named, save_halved
from trainer.photos.network import (
    STRANGER_SCALE,
    build_explainer,
    fit_projection,
    pooled_features,
)
from trainer.photos.recipe import PhotoRecipe
from trainer.photos.training import batches, inputs
from trainer.serving_model import ServingModel

SCORE = "learned_stranger"
KERAS_MODEL, SERVING_MODEL = "model.keras", "model.tflite"
CHECK, PARAMETERS = "check.npz", "out_of_taxonomy.npz"
# So many that 99 of 100 is not a matter of chance: of 512, four more or less would decide.
CHECKED_PHOTOS = 2_048
CHECK_COUNT = 16
SHOWN = 224


@dataclass(frozen=True, kw_only=True)
class WrittenPart:
    """fields: the network's part of the manifest, as JSON; exported: how the model serves."""

    fields: Mapping[str, Any]
    exported: Exported


@dataclass(frozen=True, kw_only=True)
class WrittenNetwork:
    """exported: how the model serves; shapes: of what it says of one photo, by name."""

    exported: Exported
    shapes: Mapping[str, tuple[int, ...]]


def write_part(
    folder: Path,
    network: keras.Model,
    photos: PhotoSet,
    fitted: FittedRule,
    recipe: PhotoRecipe,
    backbone: Backbone,
) -> WrittenPart:
    """Write the four files of a trained photo network into `folder`.

    Raises:
        BundleError: the network is sure of no photo at all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    served = inputs(photos, recipe)
    projection = fit_projection(pooled_features(network, served))
    explainer = build_explainer(network, projection)
    # In no order: a list often has one category after the other.
    order = np.random.default_rng(recipe.seed).permutation(len(served))
    checked = served[order[:CHECKED_PHOTOS]]
    written = write_network(folder, explainer, shown_photos(photos, served, recipe), checked)
    fields = {
        "input": [recipe.side_px, recipe.side_px, 3],
        "preprocessing": asdict(preprocessing_of(NetworkName.PHOTO)),
        "outputs": {name: list(shape) for name, shape in written.shapes.items()},
        "temperature": fitted.rule.temperature,
        "acceptance": asdict(fitted.rule.acceptance),
        "out_of_taxonomy": {
            "score": SCORE,
            "threshold": fitted.rule.out_of_taxonomy_threshold,
            "parameters": PARAMETERS,
        },
        "backbone": dict(backbone.about),
    }
    return WrittenPart(fields=fields, exported=written.exported)


def write_network(
    folder: Path, explainer: keras.Model, shown: NDArray[np.uint8], checked: NDArray[np.uint8]
) -> WrittenNetwork:
    """Write the four files of a network into `folder`: as it learned, as it serves, and its check.

    shown: photos for int8's ranges; checked: those by which rounding is judged.

    Raises:
        BundleError: the network is sure of no photo at all.
    """
    wanted = named(explainer, checked)
    save_halved(explainer, folder / KERAS_MODEL, checked, wanted)
    exported = export_photo_network(explainer, shown, checked, wanted)
    (folder / SERVING_MODEL).write_bytes(exported.model)
    outputs = ServingModel(exported.model)(checked)
    check = clear_cases(checked, outputs.logits, count=min(CHECK_COUNT, len(checked)))
    np.savez_compressed(
        folder / CHECK, allow_pickle=False, images=check.images, logits=check.logits
    )
    np.savez(folder / PARAMETERS, allow_pickle=False, scale=np.array(1 / STRANGER_SCALE))
    shapes = {
        name: tuple(getattr(outputs, name).shape[1:])
        for name in ("logits", "class_maps", "embedding")
    }
    return WrittenNetwork(exported=exported, shapes=shapes)


def shown_photos(
    photos: PhotoSet, served: NDArray[np.uint8], recipe: PhotoRecipe
) -> NDArray[np.uint8]:
    """Photos as they are served and as they are varied, uint8 (N, S, S, 3), for int8's ranges."""
    varied = next(iter(batches(photos, None, recipe, 0))).pixels
    return np.concatenate([spread(served, SHOWN), varied])


def spread(images: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """At most `count` of the images, from the first to the last: of every category."""
    chosen = np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(np.int64)
    return images[chosen]
