"""A bundle of a photo network that is trained in seconds: it names drawn things on light paper."""

from pathlib import Path

import numpy as np

from catalog.bundle import Bundle, load_bundle
from tests.trainer.photos.pictures import LABELS, TAXONOMY, photo_set
from trainer.photos.backbone import find_backbone
from trainer.photos.bundling import PhotoFacts, write_photo_bundle
from trainer.photos.network import predict
from trainer.photos.publishing import write_part
from trainer.photos.recipe import PhotoRecipe
from trainer.photos.rule import fit_rule
from trainer.photos.training import inputs, new_network, train

SIDE_PX, KEPT_PX = 32, 40


def small_bundle(root: Path) -> Bundle:
    """Train it in `root`."""
    photos, backbone = photo_set(30, side_px=KEPT_PX), find_backbone("none")
    recipe = PhotoRecipe(
        side_px=SIDE_PX, epochs=8, batch_size=8, learning_rate=6e-3, ema_momentum=0.8,
        erase_share=0, garments=0, background_share=0,
    )  # fmt: skip
    network = new_network(backbone, LABELS, recipe)
    train(network, photos, None, recipe, root / "run")
    scores = np.asarray(predict(network, inputs(photos, recipe)), np.float32)
    fitted = fit_rule(scores, photos.targets, TAXONOMY)
    part = write_part(root / "photo", network, photos, fitted, recipe, backbone)
    facts = PhotoFacts(metrics={}, training={}, data={})
    write_photo_bundle(root / "bundle", root / "photo", part.fields, TAXONOMY, facts, None)
    return load_bundle(root / "bundle")
