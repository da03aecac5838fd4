"""Measure a bundle on the test set: every figure comes from the serving model."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from catalog.acceptance import flags, rule_for
from catalog.bundle import Bundle, load_bundle
from catalog.networks import NetworkName, PictureKind
from catalog.out_of_taxonomy import SCORES, stored_parameters
from catalog.statistics import error_at_most, negative_log_likelihood, softmax
from trainer.calibration import brier_score, expected_calibration_error
from trainer.faithfulness import (
    deletion_auc,
    grad_cam,
    gradient_grad_cam,
    insertion_auc,
    to_pixels,
)
from trainer.fashion_mnist.classes import LABELS
from trainer.fashion_mnist.corruptions import CORRUPTIONS, corrupt
from trainer.fashion_mnist.dataset import Split, load_test
from trainer.fashion_mnist.network import predict
from trainer.fashion_mnist.strangers import strangers
from trainer.level_acceptance import by_level
from trainer.photo_evaluation import photo_table
from trainer.risk_coverage import RiskCoverage, risk_coverage
from trainer.serving_model import Outputs, ServingModel
from trainer.source_model import load_source_model
from trainer.strangeness import separation

SELECTIVE_ACCURACY = 0.99
EXPLAINED_IMAGES = 1_000
TIMED_IMAGES = 512
CORRUPTION_SEED = 0


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured: the figures as plain JSON values, and what the report draws.

    confidences float64 (N, 10) are calibrated, of the test set's images in their order.
    """

    figures: dict[str, Any]
    bundle: Bundle
    test: Split
    outputs: Outputs
    confidences: NDArray[np.float64]
    curve: RiskCoverage

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The label of each test image, 0-9."""
        return np.asarray(self.confidences.argmax(axis=1), np.int64)

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether it is the true one."""
        return np.asarray(self.predicted == self.test.labels)


def evaluate(
    bundle_folder: Path,
    data_folder: Path,
    *,
    verify: bool = True,
    mnist_folder: Path | None = None,
    photo_manifest: Path | None = None,
) -> Measured:
    """Every figure of the model card.

    Raises:
        BundleError, DatasetError: what was expected and what was found.
    """
    bundle = load_bundle(bundle_folder)
    test = load_test(data_folder, verify=verify)
    part = bundle.part(NetworkName.REDUCED)
    serve = ServingModel(part.serving_model)
    explainer = load_source_model(part)
    outputs = serve(test.images)
    temperature = part.network.temperature
    confidences = softmax(outputs.logits, temperature)
    right = confidences.argmax(axis=1) == test.labels
    curve = risk_coverage(confidences.max(axis=1), right)
    figures = {
        "model_version": bundle.manifest.model_version,
        "images": len(test),
        "network": {
            "parameters": explainer.count_params(),
            "images_per_cpu_second": images_per_cpu_second(bundle, test),
        },
        "accuracy": float(right.mean()),
        "recall": per_class(confidences, test.labels),
        "int8_against_keras": int8_gap(outputs, predict(explainer, test.images), test, temperature),
        "calibration": calibration(confidences, test.labels),
        "selection": selection(bundle, confidences, test.labels, curve),
        "corruptions": corruption_table(serve, test),
        "out_of_taxonomy": strangeness_table(bundle, serve, outputs, mnist_folder),
        "explanation": explanation(serve, explainer, test),
    }
    if photo_manifest is not None:
        figures["photos"] = photo_table(bundle, photo_manifest)
    return Measured(
        figures=figures,
        bundle=bundle,
        test=test,
        outputs=outputs,
        confidences=confidences,
        curve=curve,
    )


def images_per_cpu_second(bundle: Bundle, test: Split) -> float:
    """How many images one thread of the serving model classifies in a second of CPU time."""
    serve = ServingModel(bundle.part(NetworkName.REDUCED).serving_model, threads=1)
    images = test.images[:TIMED_IMAGES]
    serve(images)
    spent = []
    for _ in range(5):
        started = time.process_time()
        serve(images)
        spent.append(time.process_time() - started)
    # The fastest: others on the machine only ever slow it down.
    return len(images) / min(spent)


def per_class(confidences: NDArray[np.float64], labels: NDArray[np.int64]) -> dict[str, float]:
    """Share of each true class that is found, by label."""
    found = confidences.argmax(axis=1) == labels
    return {
        name: float(found[labels == label].mean())
        for label, name in enumerate(LABELS)
        if (labels == label).any()
    }


def int8_gap(served: Outputs, kept: Outputs, test: Split, temperature: float) -> dict[str, float]:
    """The serving model held against the Keras model."""
    ours, theirs = served.logits.argmax(axis=1), kept.logits.argmax(axis=1)
    gap = np.abs(softmax(served.logits, temperature) - softmax(kept.logits, temperature))
    return {
        "keras_accuracy": float((theirs == test.labels).mean()),
        "accuracy_difference": float((ours == test.labels).mean() - (theirs == test.labels).mean()),
        "label_agreement": float((ours == theirs).mean()),
        "mean_confidence_difference": float(gap.mean()),
    }


def calibration(confidences: NDArray[np.float64], labels: NDArray[np.int64]) -> dict[str, float]:
    """Calibration errors, NLL (nats) and Brier score with the bundle's temperature."""
    right = confidences.argmax(axis=1) == labels
    top = confidences.max(axis=1)
    return {
        "ece": expected_calibration_error(top, right),
        "adaptive_ece": expected_calibration_error(top, right, adaptive=True),
        "nll": negative_log_likelihood(confidences, labels),
        "brier": brier_score(confidences, labels),
    }


def selection(
    bundle: Bundle,
    confidences: NDArray[np.float64],
    labels: NDArray[np.int64],
    curve: RiskCoverage,
) -> dict[str, Any]:
    """What can be accepted, and what the bundle's own acceptance rule does accept."""
    rule = bundle.manifest.networks[NetworkName.REDUCED].acceptance
    predicted = confidences.argmax(axis=1)
    # By confidence alone: how strange an image may look is measured apart.
    reduced = rule_for(bundle.manifest, kind=PictureKind.REDUCED)
    accepted = flags(reduced, bundle.manifest.labels, confidences).accepted
    right = predicted == labels
    wrong = int(np.count_nonzero(accepted & ~right))
    count = int(np.count_nonzero(accepted))
    return {
        "coverage_at_99_percent": curve.coverage_at(SELECTIVE_ACCURACY),
        "aurc": curve.area,
        "rule_promised_precision": rule.precision,
        "rule_guarantee_level": rule.guarantee_level,
        "rule_coverage": count / len(labels),
        "rule_precision": 1 - wrong / count if count else None,
        "rule_precision_at_least": 1 - error_at_most(wrong, count, 0.95),
        "by_level": by_level(
            reduced, confidences, labels, bundle.manifest.labels, bundle.manifest.taxonomy
        ),
        "rule_by_label": {
            label: accepted_share(predicted == index, accepted, right)
            for index, label in enumerate(bundle.manifest.labels)
        },
    }


def accepted_share(
    mine: NDArray[np.bool_], accepted: NDArray[np.bool_], right: NDArray[np.bool_]
) -> dict[str, float | None]:
    """Of the items given one label: the share accepted, and how often those are right."""
    kept = mine & accepted
    return {
        "coverage": float(accepted[mine].mean()) if mine.any() else None,
        "precision": float(right[kept].mean()) if kept.any() else None,
    }


def corruption_table(serve: ServingModel, test: Split) -> dict[str, float]:
    """Accuracy on each kind of spoiled test image, and their mean."""
    table = {}
    for kind in CORRUPTIONS:
        predicted = serve(corrupt(test.images, kind, CORRUPTION_SEED)).logits.argmax(axis=1)
        table[kind] = float((predicted == test.labels).mean())
    return table | {"mean": float(np.mean(list(table.values())))}


def strangeness_table(
    bundle: Bundle, serve: ServingModel, outputs: Outputs, mnist_folder: Path | None
) -> dict[str, Any]:
    """How well the bundle's score tells strangers from the test set's garments."""
    rule = bundle.manifest.networks[NetworkName.REDUCED].out_of_taxonomy
    parameters = stored_parameters(bundle.part(NetworkName.REDUCED))
    known = SCORES[rule.score](outputs.logits, outputs.embedding, parameters)
    table: dict[str, Any] = {
        "score": rule.score,
        "false_alarms": float((known > rule.threshold).mean()),
    }
    for name, images in strangers(mnist_folder).items():
        seen = serve(images)
        score = SCORES[rule.score](seen.logits, seen.embedding, parameters)
        table[name] = {
            "images": len(images),
            "auroc": separation(known, score),
            "auroc_of_energy": separation(
                SCORES["energy"](outputs.logits, outputs.embedding, {}),
                SCORES["energy"](seen.logits, seen.embedding, {}),
            ),
            "flagged": float((score > rule.threshold).mean()),
        }
    return table


def explanation(serve: ServingModel, explainer: keras.Model, test: Split) -> dict[str, float]:
    """Class maps against Grad-CAM by gradient, and both against chance, on the first images."""
    images = test.images[:EXPLAINED_IMAGES]
    labels = np.asarray(serve(images).logits.argmax(axis=1), np.int64)
    by_gradient = gradient_grad_cam(explainer, images, labels)
    kept = grad_cam(predict(explainer, images).class_maps, labels)
    maps = {
        "class_map": to_pixels(grad_cam(serve(images).class_maps, labels)),
        "gradient_grad_cam": to_pixels(by_gradient),
        "random": np.random.default_rng(0).random((len(images), 28, 28), np.float32),
    }
    figures = {"grad_cam_difference_max": float(np.abs(by_gradient - kept).max())}
    for name, values in maps.items():
        figures[f"deletion_auc_{name}"] = deletion_auc(
            lambda x: serve(x).logits, images, labels, values
        )
        figures[f"insertion_auc_{name}"] = insertion_auc(
            lambda x: serve(x).logits, images, labels, values
        )
    return figures
