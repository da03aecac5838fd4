"""Measure a bundle on the test set, from the serving model."""

from pathlib import Path
from typing import Any

import keras

from catalog.bundle import load_bundle
from trainer.calibration import expected_calibration_error, softmax
from trainer.dataset import load_test
from trainer.publish import predict
from trainer.serving import ServingModel


def evaluate(bundle_folder: Path, data_folder: Path, *, verify: bool = True) -> dict[str, Any]:
    """Every figure of the model card."""
    bundle = load_bundle(bundle_folder)
    test = load_test(data_folder, verify=verify)
    served = ServingModel(bundle.serving_model)(test.images)
    kept = predict(keras.models.load_model(bundle.keras_model), test.images)["logits"]
    confidences = softmax(served.logits, bundle.manifest.temperature)
    right = confidences.argmax(1) == test.labels
    return {
        "accuracy": float(right.mean()),
        "keras_accuracy": float((kept.argmax(1) == test.labels).mean()),
        "agreement": float((kept.argmax(1) == served.logits.argmax(1)).mean()),
        "ece": expected_calibration_error(confidences.max(1), right),
    }
