"""Learn with the whole photo network, from where the head alone has come.

The head first, so that the features are not torn apart by a head that knows nothing yet (Kumar et
al. 2022, arXiv 2202.10054). Edges and cloth are left as they are: they cost half of each step.
"""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainer.photos.data import PhotoSet
from trainer.photos.opening import OpenedNetwork, freeze
from trainer.photos.recipe import PhotoRecipe
from trainer.photos.training import train

# Of photos that are remembered, those count whose category the network was so sure of, 0-1.
SURE = 0.8


@dataclass(frozen=True, kw_only=True)
class TuningConfig:
    """How the whole network learns."""

    epochs: int = 8
    learning_rate: float = 4e-4
    frozen_blocks: int = 5  # of EfficientNet-Lite0's 16
    steps_max: int = 240  # more photos have fewer epochs, so that minutes stay minutes
    ema_momentum: float = 0.9  # short runs: the average must not remember the beginning

    def recipe(self, side_px: int, photos: int, seed: int) -> PhotoRecipe:
        """The recipe for so many photos, without cut-outs and dressed-up pictures."""
        first = PhotoRecipe()
        steps = -(-photos // first.batch_size)
        return replace(
            first,
            side_px=side_px,
            epochs=max(1, min(self.epochs, self.steps_max // max(1, steps))),
            learning_rate=self.learning_rate,
            frozen_blocks=self.frozen_blocks,
            ema_momentum=self.ema_momentum,
            background_share=0.0,
            garments=0,
            patience=0,
            seed=seed,
        )


def tune(
    opened: OpenedNetwork,
    kernel: NDArray[np.float32],
    photos: PhotoSet,
    config: TuningConfig,
    seed: int,
) -> None:
    """Learn from the photos; kernel: what the head learned from them, float32 (F, C + 1)."""
    opened.restore()
    opened.add_to_head(kernel)
    freeze(opened.network, config.frozen_blocks)
    recipe = config.recipe(opened.side_px, len(photos), seed)
    with tempfile.TemporaryDirectory(prefix="tagger-adapt-") as folder:
        train(opened.network, photos, None, recipe, Path(folder))
