"""Turn a finished run into a bundle: aside, verified by reloading, then renamed into place."""

import hashlib
import json
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from catalog.bundle import (
    FORMAT,
    KERAS_MODEL,
    SERVING_MODEL,
    TAXONOMY,
    BundleError,
    Manifest,
    checksums,
    load_bundle,
    write_manifest,
)
from catalog.images.preprocessing import preprocessing_of
from catalog.networks import Acceptance, Network, NetworkName, OutOfTaxonomy
from catalog.statistics import fit_temperature, softmax
from catalog.taxonomy.document import to_json
from catalog.taxonomy.files import shipped
from catalog.taxonomy.model import Taxonomy
from trainer.acceptance import fit_acceptance
from trainer.check_predictions import write_check_predictions
from trainer.evaluate import Measured
from trainer.export import export_serving_model
from trainer.fashion_mnist.classes import LABELS
from trainer.fashion_mnist.dataset import CHECKSUMS
from trainer.fashion_mnist.imitations import imitated_photos
from trainer.fashion_mnist.network import INPUT_SHAPE, build_explainer, predict
from trainer.fashion_mnist.train import LOG, Run
from trainer.level_acceptance import fit_parents, with_parents
from trainer.photo_rule import FittedRule, PhotoRuleConfig, fit_photo_rule
from trainer.report import write_report
from trainer.serving_model import ServingModel
from trainer.source_model import load_source_model
from trainer.strangeness import PARAMETERS, Choice, choose_score, score_of
from trainer.written_aside import written_aside

REPORT = "report"
TAXONOMY_NAME = "fashion-mnist"
PRECISION = 0.99
CLASS_PRECISION = 0.97
GUARANTEE_LEVEL = 0.95
# Of 100 images at least this many must get the same label from what was written and what was
# trained; int8 rounding costs a few. Refused is what falls short of it beyond chance: where only
# some dozen images are held out, one or two prove nothing.
AGREEMENT_MIN = 0.98
CHANCE_MAX = 0.05
CHECKED_IMAGES = 512
# Real photos are harder than the imitations, whose like the network was trained on: a promise of
# 99.5 % here is 96 to 99 % there, and the stranger part of the known is better left to people too.
PHOTO_RULE = PhotoRuleConfig(precision=0.995, class_precision=0.96, false_alarms=(0.3,))
LIBRARIES = ("keras", "tensorflow", "ai-edge-litert", "numpy", "scipy", "opencv-python-headless")


@dataclass(frozen=True, kw_only=True)
class Published:
    """Where the bundle is, and its manifest."""

    folder: Path
    manifest: Manifest


def publish(run: Run, folder: Path) -> Published:
    """Write the bundle of `run` to `folder`, replacing one that is there.

    Raises:
        BundleError: the disk is full, or what was written does not predict as the trained network
            does; `folder` is as it was.
    """
    with written_aside(folder) as aside:
        manifest = write_bundle(run, aside)
        check_bundle(aside, run)
    return Published(folder=folder, manifest=manifest)


def add_report(folder: Path, measured: Measured) -> None:
    """Put figures, pictures and page of an evaluation into the bundle in `folder`.

    Raises:
        BundleError: the disk is full; `folder` is as it was.
    """
    with written_aside(folder) as aside:
        shutil.copytree(folder, aside, dirs_exist_ok=True)
        write_report(measured, aside / REPORT / LOG, aside / REPORT)
        manifest = measured.bundle.manifest
        metrics = {**manifest.metrics, "test": measured.figures}
        write_manifest(aside, replace(manifest, metrics=metrics, files=checksums(aside)))
        load_bundle(aside)


def write_bundle(run: Run, folder: Path) -> Manifest:
    """Write every file of the bundle and its manifest into `folder`."""
    explainer = build_explainer(run.network)
    mine = folder / NetworkName.REDUCED
    mine.mkdir()
    explainer.save(mine / KERAS_MODEL)
    (mine / SERVING_MODEL).write_bytes(export_serving_model(explainer, run.train))
    taxonomy = shipped(TAXONOMY_NAME)
    (folder / TAXONOMY).write_text(to_json(taxonomy), encoding="utf-8")
    write_check_predictions(mine)
    serve = ServingModel(mine / SERVING_MODEL)
    outputs = serve(run.validation.images)
    temperature = fit_temperature(outputs.logits, run.validation.labels)
    confidences = softmax(outputs.logits, temperature)
    thresholds = fit_acceptance(
        confidences,
        run.validation.labels,
        precision=PRECISION,
        class_precision=CLASS_PRECISION,
        level=GUARANTEE_LEVEL,
    )
    acceptance = Acceptance(
        confidence_min=dict(zip(LABELS, map(float, thresholds), strict=True)),
        precision=PRECISION,
        class_precision=CLASS_PRECISION,
        guarantee_level=GUARANTEE_LEVEL,
    )
    choice = choose_score(serve, run.train, run.validation, seed=run.config.seed)
    if choice.parameters:
        np.savez(mine / PARAMETERS, allow_pickle=False, **choice.parameters)
    photos = rule_for_photos(serve, choice, run, taxonomy)
    if (run.folder / LOG).is_file():
        (folder / REPORT).mkdir()
        shutil.copyfile(run.folder / LOG, folder / REPORT / LOG)
    network = Network(
        input=INPUT_SHAPE,
        preprocessing=preprocessing_of(NetworkName.REDUCED),
        outputs={
            "logits": outputs.logits.shape[1:],
            "class_maps": outputs.class_maps.shape[1:],
            "embedding": outputs.embedding.shape[1:],
        },
        temperature=temperature,
        acceptance=with_parent_levels(acceptance, confidences, run.validation.labels, taxonomy),
        out_of_taxonomy=OutOfTaxonomy(
            score=choice.score,
            threshold=choice.threshold,
            parameters=PARAMETERS if choice.parameters else None,
        ),
        photos=photos.rule,
    )
    files = checksums(folder)
    manifest = Manifest(
        format=FORMAT,
        model_version=model_version(files),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        labels=LABELS,
        taxonomy=taxonomy,
        networks={NetworkName.REDUCED: network},
        metrics={
            "validation": validation_metrics(confidences, run.validation.labels),
            "imitated_photos": photos.figures,
        },
        training={"config": run.config.to_dict(), "summary": run.summary},
        data={"name": "Fashion-MNIST, 31 August 2017", "sha256": dict(CHECKSUMS)},
        libraries=library_versions(),
        files=files,
    )
    write_manifest(folder, manifest)
    return manifest


def with_parent_levels(
    acceptance: Acceptance,
    confidences: NDArray[np.float64],
    labels: NDArray[np.int64],
    taxonomy: Taxonomy,
) -> Acceptance:
    """The rule with thresholds for the parents of its labels."""
    parents = fit_parents(confidences, labels, LABELS, taxonomy, acceptance)
    return replace(acceptance, confidence_min={**acceptance.confidence_min, **parents})


def rule_for_photos(
    serve: ServingModel, choice: Choice, run: Run, taxonomy: Taxonomy
) -> FittedRule:
    """The cautious rule: fitted on validation images that were made to look like photos."""
    photos = imitated_photos(
        run.validation, run.config.augmentation.photo_look, seed=run.config.seed
    )
    outputs = serve(photos.images)
    strangeness = score_of(choice.score, outputs, {choice.score: choice.parameters})
    found = outputs.logits, photos.labels, strangeness
    fitted = fit_photo_rule(*found, PHOTO_RULE)
    return replace(fitted, rule=with_parents(fitted.rule, *found, LABELS, taxonomy))


def check_bundle(folder: Path, run: Run) -> None:
    """Load what was written, as a stranger would, and compare its predictions with the network's.

    Raises:
        BundleError: they differ by more than int8 rounding.
    """
    bundle = load_bundle(folder)
    images = run.validation.images[:CHECKED_IMAGES]
    trained = predict(build_explainer(run.network), images).logits
    part = bundle.part(NetworkName.REDUCED)
    reloaded = predict(load_source_model(part), images).logits
    served = ServingModel(part.serving_model)(images).logits
    gap = float(np.abs(trained - reloaded).max())
    if gap > 1e-3:
        raise BundleError(
            f"Expected {KERAS_MODEL} to predict as the network it was saved from, found logits "
            f"that differ by {gap:.3g}. Do not ship it; check the libraries' versions."
        )
    apart = int((served.argmax(1) != trained.argmax(1)).sum())
    if by_chance(apart, len(images)) < CHANCE_MAX:
        raise BundleError(
            f"Expected the serving model to agree with the network on {AGREEMENT_MIN:.0%} of "
            f"{len(images)} images, found {1 - apart / len(images):.1%}. Train longer: int8 costs "
            "this much only where confidences are close."
        )


def by_chance(apart: int, images: int) -> float:
    """How probable it is that `apart` of `images` labels or more differ where AGREEMENT_MIN holds.

    Between 0 and 1, by the binomial test.
    """
    return float(binomtest(apart, images, 1 - AGREEMENT_MIN, alternative="greater").pvalue)


def model_version(files: Mapping[str, str]) -> str:
    """A name that is the same for the same models: date-free, 12 hex digits."""
    folder = NetworkName.REDUCED
    models = json.dumps([files[f"{folder}/{KERAS_MODEL}"], files[f"{folder}/{SERVING_MODEL}"]])
    return f"fashion-mnist-{hashlib.sha256(models.encode()).hexdigest()[:12]}"


def library_versions() -> dict[str, str]:
    """What the bundle was made with."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        found[name] = version(name)
    return found


def validation_metrics(
    confidences: NDArray[np.float64], labels: NDArray[np.int64]
) -> dict[str, Any]:
    """What was seen where temperature and thresholds were chosen."""
    return {
        "images": len(labels),
        "accuracy": float((confidences.argmax(axis=1) == labels).mean()),
    }
