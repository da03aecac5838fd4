"""The files of an adapted photo network, and what the manifest says of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from catalog.networks import Network, OutOfTaxonomy
from trainer.photos.adapting import LearnedPhotos
from trainer.photos.data import PhotoSet
from trainer.photos.publishing import (
    CHECKED_PHOTOS,
    PARAMETERS,
    SCORE,
    shown_photos,
    spread,
    write_network,
)
from trainer.photos.recipe import PhotoRecipe
from trainer.photos.training import inputs


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
    written = write_network(folder, explainer, shown_photos(photos, served, recipe), checked)
    return replace(
        base,
        outputs=written.shapes,
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
