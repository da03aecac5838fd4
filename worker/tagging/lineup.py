"""The models of one process: the one that serves, and those that are being tried out beside it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from catalog.acceptance import Earned, Rule
from catalog.bundle import Manifest
from catalog.sampling import drawn
from catalog.statistics import at_temperature
from worker.tagging.classifier import Classifier, Predictions

# One image as a model takes it, uint8 (28, 28, 1), or None where there is none.
Image = NDArray[np.uint8] | None


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A candidate and its share of the products, 0-1."""

    classifier: Classifier
    share: float


@dataclass(frozen=True, kw_only=True)
class Lineup:
    """Never changed, only replaced between two batches: all of a batch sees one lineup.

    earned: what photos have earned, by model version.
    """

    serving: Classifier
    canary: Trial | None = None
    shadow: Trial | None = None
    earned: Mapping[str, Earned] = field(default_factory=dict)

    def predict(
        self, product_ids: Sequence[str], images: Sequence[Image]
    ) -> list["Prediction | None"]:
        """What is to be current of each image; always the same model's for the same product."""
        return _predict([self._server_of(each) for each in product_ids], images)

    def predict_as_shadow(
        self, product_ids: Sequence[str], images: Sequence[Image]
    ) -> list["Prediction | None"]:
        """What the shadow says of those that are in its share."""
        if self.shadow is None:
            return [None] * len(images)
        shadow, share = self.shadow.classifier, self.shadow.share
        draws = [drawn(each, share, purpose=b"shadow\0") for each in product_ids]
        return _predict([shadow if each else None for each in draws], images)

    def _server_of(self, product_id: str) -> Classifier:
        if self.canary and drawn(product_id, self.canary.share, purpose=b"canary\0"):
            return self.canary.classifier
        return self.serving

    @property
    def manifests(self) -> tuple[Manifest, ...]:
        """Of all its models, the serving one first."""
        trials = (each.classifier.manifest for each in (self.canary, self.shadow) if each)
        return (self.serving.manifest, *trials)


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What one model says of one image: a row of its predictions."""

    manifest: Manifest
    predictions: Predictions
    row: int

    @property
    def confidences(self) -> NDArray[np.float32]:
        """float32 (classes,), calibrated."""
        return np.asarray(self.predictions.confidences[self.row])

    @property
    def class_map(self) -> NDArray[np.float32]:
        """float32 (h, w, classes)."""
        return np.asarray(self.predictions.class_maps[self.row])

    @property
    def embedding(self) -> NDArray[np.float32]:
        """float32 (d,)."""
        return np.asarray(self.predictions.embedding[self.row])

    def under(self, rule: Rule) -> NDArray[np.float32]:
        """The confidences as a rule wants them: those of photos at their own temperature."""
        if rule.photo_temperature is None:
            return self.confidences
        return at_temperature(self.confidences, self.manifest.temperature, rule.photo_temperature)

    @property
    def out_of_taxonomy_score(self) -> float:
        """Higher is stranger."""
        return float(self.predictions.out_of_taxonomy[self.row])


def _predict(
    classifiers: Sequence[Classifier | None], images: Sequence[Image]
) -> list[Prediction | None]:
    """Each image through its own classifier, in one batch for each of them."""
    theirs: dict[Classifier, list[tuple[int, NDArray[np.uint8]]]] = defaultdict(list)
    for place, (classifier, image) in enumerate(zip(classifiers, images, strict=True)):
        if classifier is not None and image is not None:
            theirs[classifier].append((place, image))
    found: list[Prediction | None] = [None] * len(images)
    for classifier, mine in theirs.items():
        predictions = classifier.classify(np.stack([image for _, image in mine]))
        for row, (place, _) in enumerate(mine):
            found[place] = Prediction(
                manifest=classifier.manifest, predictions=predictions, row=row
            )
    return found
