"""The files of an adapted photo network, and what the manifest says of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from catalog.bundle import CHECK, KERAS_MODEL, SERVING_MODEL
from catalog.check_predictions import clear_cases
from catalog.networks import Network, OutOfTaxonomy
from trainer.photos.adapting import LearnedPhotos
from trainer.photos.data import PhotoSet
from trainer.photos.export import export_photo_network, save_halved
from trainer.photos.network import STRANGER_SCALE
from trainer.photos.publishing import CHECK_COUNT, CHECKED_PHOTOS, PARAMETERS, SCORE, spread
from trainer.photos.recipe import PhotoRecipe
from trainer.photos.training import batches, inputs
from trainer.serving_model import ServingModel

SHOWN = 224


def write_adapted_part(
    folder: Path,
    photos: PhotoSet,
    learned: LearnedPhotos,
    base: Network,
) -> Network:
    """Write the four files of a network that learned from `photos` into `folder`.

    base: what the manifest said of it. Returns the same of the new one.

    Raises:
        BundleError: the network is sure of no photo at all.
    """
    opened, fitted = learned.opened, learned.rule
    assert opened is not None
    assert fitted is not None
    folder.mkdir(parents=True, exist_ok=True)
    recipe = replace(PhotoRecipe(), side_px=opened.side_px, background_share=0.0)
    served = inputs(photos, recipe)
    explainer = opened.explainer()
    checked = spread(served[_shuffled(len(served))], CHECKED_PHOTOS)
    save_halved(explainer, folder / KERAS_MODEL, checked)
    varied = next(iter(batches(photos, None, recipe, 0))).pixels
    shown = np.concatenate([spread(served, SHOWN), varied])
    exported = export_photo_network(explainer, shown, checked)
    (folder / SERVING_MODEL).write_bytes(exported.model)
    outputs = ServingModel(exported.model)(checked)
    check = clear_cases(checked, outputs.logits, count=min(CHECK_COUNT, len(checked)))
    np.savez_compressed(
        folder / CHECK, allow_pickle=False, images=check.images, logits=check.logits
    )
    np.savez(folder / PARAMETERS, allow_pickle=False, scale=np.array(1 / STRANGER_SCALE))
    return replace(
        base,
        outputs={
            name: getattr(outputs, name).shape[1:] for name in ("logits", "class_maps", "embedding")
        },
        temperature=fitted.rule.temperature,
        acceptance=fitted.rule.acceptance,
        out_of_taxonomy=OutOfTaxonomy(
            score=SCORE,
            threshold=fitted.rule.out_of_taxonomy_threshold,
            parameters=PARAMETERS,
        ),
        backgrounds=learned.backgrounds,
        alike_min=learned.alike.least if learned.alike else None,
        alike_apart=learned.alike.apart if learned.alike else (),
        mixture=learned.mixture.mixture if learned.mixture else None,
    )


def _shuffled(count: int) -> NDArray[np.int64]:
    """A list often has one category after the other: in no order."""
    return np.random.default_rng(0).permutation(count)
