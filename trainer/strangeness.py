"""Choose how the bundle recognises what belongs to none of the ten classes.

Chosen against drawn shapes and spoiled images: digits and photos stay unseen until `evaluate`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from catalog.out_of_taxonomy import SCORES, unit
from trainer.fashion_mnist.dataset import Split
from trainer.serving_model import Outputs, ServingModel

PARAMETERS = "out_of_taxonomy.npz"
# Share of real garments of the validation part that may be flagged as strange.
FALSE_ALARMS = 0.01
BANK_PER_CLASS = 250
NEIGHBOURS = 5
FITTED_IMAGES = 20_000
DRAWN_IMAGES = 1_000


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The score that told best, where it cuts, and each score's AUROC on the drawn images."""

    score: str
    threshold: float
    parameters: Mapping[str, NDArray[Any]]
    auroc: Mapping[str, float]


def choose_score(serve: ServingModel, train: Split, validation: Split, *, seed: int) -> Choice:
    """Fit every score on training images, choose on validation images against drawn ones."""
    fitted = train.take(np.arange(min(FITTED_IMAGES, len(train))))
    parameters = fit_parameters(serve(fitted.images), fitted.labels)
    known = serve(validation.images)
    drawn = serve(draw_shapes(DRAWN_IMAGES, np.random.default_rng(seed)))
    auroc = {
        name: separation(score_of(name, known, parameters), score_of(name, drawn, parameters))
        for name in parameters
    }
    best = max(auroc, key=lambda name: auroc[name])
    return Choice(
        score=best,
        threshold=float(np.quantile(score_of(best, known, parameters), 1 - FALSE_ALARMS)),
        parameters=parameters[best],
        auroc=auroc,
    )


def score_of(
    name: str, outputs: Outputs, parameters: Mapping[str, Mapping[str, NDArray[Any]]]
) -> NDArray[np.float32]:
    """The score `name` of each image, float32 (N,), higher is stranger."""
    return SCORES[name](outputs.logits, outputs.embedding, parameters[name])


def separation(known: NDArray[np.float32], strange: NDArray[np.float32]) -> float:
    """AUROC: how often a strange image scores above a known one, 0-1."""
    truth = np.concatenate([np.zeros(len(known)), np.ones(len(strange))])
    return float(roc_auc_score(truth, np.concatenate([known, strange])))


def fit_parameters(
    outputs: Outputs, labels: NDArray[np.int64]
) -> dict[str, dict[str, NDArray[Any]]]:
    """What each score of catalog.out_of_taxonomy needs, from training images."""
    by_class = fit_gaussian(outputs.embedding, labels)
    together = fit_gaussian(outputs.embedding, np.zeros_like(labels))
    return {
        "energy": {},
        "class_gaussian": by_class,
        "relative_gaussian": by_class | {f"all_{name}": value for name, value in together.items()},
        "nearest_neighbour": fit_bank(outputs.embedding, labels),
    }


def fit_gaussian(
    embedding: NDArray[np.float32], labels: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    """Class means and the whitening of the covariance that all classes share."""
    classes = np.unique(labels)
    means = np.stack([embedding[labels == label].mean(axis=0) for label in classes])
    centred = embedding - means[np.searchsorted(classes, labels)]
    values, vectors = np.linalg.eigh(np.cov(centred.T.astype(np.float64)))
    # Directions that hardly vary are rounding noise of int8: not to be blown up.
    floor = values.max() * 1e-4
    whitening = (vectors / np.sqrt(np.maximum(values, floor))).astype(np.float32)
    return {"means": (means @ whitening).astype(np.float32), "whitening": whitening}


def fit_bank(embedding: NDArray[np.float32], labels: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """The first training embeddings of each class, at length 1; float16 halves the file."""
    chosen = np.concatenate(
        [np.flatnonzero(labels == label)[:BANK_PER_CLASS] for label in np.unique(labels)]
    )
    bank = unit(embedding[chosen])
    neighbours = np.array(min(NEIGHBOURS, len(bank)))
    return {"bank": bank.astype(np.float16), "neighbours": neighbours}


def draw_shapes(count: int, rng: Generator) -> NDArray[np.uint8]:
    """Things that are no garments: letters, polygons, ellipses, lines. uint8 (N, 28, 28, 1)."""
    return np.stack([_draw(rng) for _ in range(count)])[..., None]


def _draw(rng: Generator) -> NDArray[np.uint8]:
    # Drawn large and reduced, as a photo would be.
    canvas = np.zeros((112, 112), np.uint8)
    tone = int(rng.integers(90, 256))
    kind = rng.integers(4)
    if kind == 0:
        text = chr(rng.integers(65, 91)) + (
            chr(rng.integers(97, 123)) if rng.random() < 0.5 else ""
        )
        cv2.putText(
            canvas, text, (8, 88), int(rng.integers(0, 8)), 3.0, tone, int(rng.integers(6, 16))
        )
    elif kind == 1:
        cv2.fillPoly(canvas, [rng.integers(4, 108, (rng.integers(3, 8), 2)).astype(np.int32)], tone)
    elif kind == 2:
        axes = rng.integers(10, 50, 2).tolist()
        thickness = -1 if rng.random() < 0.5 else int(rng.integers(4, 16))
        cv2.ellipse(canvas, (56, 56), axes, float(rng.uniform(0, 180)), 0, 360, tone, thickness)
    else:
        points = rng.integers(4, 108, (rng.integers(3, 8), 1, 2)).astype(np.int32)
        cv2.polylines(canvas, [points], bool(rng.random() < 0.5), tone, int(rng.integers(5, 14)))
    return np.asarray(cv2.resize(canvas, (28, 28), interpolation=cv2.INTER_AREA))
