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
from trainer.photos.export import Exported, export_photo_network, save_halved
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


@dataclass(frozen=True, kw_only=True)
class WrittenPart:
    """fields: the network's part of the manifest, as JSON; exported: how the model serves."""

    fields: Mapping[str, Any]
    exported: Exported


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
    save_halved(explainer, folder / KERAS_MODEL, checked)
    exported = export_photo_network(explainer, shown_photos(photos, recipe), checked)
    (folder / SERVING_MODEL).write_bytes(exported.model)
    outputs = ServingModel(exported.model)(checked)
    check = clear_cases(checked, outputs.logits, count=CHECK_COUNT)
    np.savez_compressed(
        folder / CHECK, allow_pickle=False, images=check.images, logits=check.logits
    )
    np.savez(folder / PARAMETERS, allow_pickle=False, scale=np.array(1 / STRANGER_SCALE))
    shapes = {
        name: list(getattr(outputs, name).shape[1:])
        for name in ("logits", "class_maps", "embedding")
    }
    fields = {
        "input": [recipe.side_px, recipe.side_px, 3],
        "preprocessing": asdict(preprocessing_of(NetworkName.PHOTO)),
        "outputs": shapes,
        "temperature": fitted.rule.temperature,
        "acceptance": asdict(fitted.rule.acceptance),
        "out_of_taxonomy": {
            "score": SCORE,
            "threshold": fitted.rule.out_of_taxonomy_threshold,
            "parameters": PARAMETERS,
        },
        "backbone": dict(backbone.about),
    }
    return WrittenPart(fields=fields, exported=exported)


def shown_photos(photos: PhotoSet, recipe: PhotoRecipe) -> NDArray[np.uint8]:
    """Photos as they are and as they are varied, uint8 (N, S, S, 3), for int8's ranges."""
    first = next(iter(batches(photos, None, recipe, 0))).pixels
    return np.concatenate([spread(inputs(photos, recipe), 224), first])


def spread(images: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """At most `count` of the images, from the first to the last: of every category."""
    chosen = np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(np.int64)
    return images[chosen]
