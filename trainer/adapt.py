"""A new bundle from a base one and a shop's corrections, or the base where that is better."""

import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from catalog.bundle import (
    SERVING_MODEL,
    Bundle,
    BundleError,
    checksums,
    load_bundle,
    write_manifest,
)
from catalog.networks import NetworkName, OutOfTaxonomy, PictureKind
from catalog.out_of_taxonomy import two_banks
from catalog.taxonomy.files import shipped
from catalog.taxonomy.reserved import NOT_IN_TAXONOMY
from trainer.cross_fitting import Choice, choose, cross_fit, folds_of, known_photos
from trainer.fashion_mnist.classes import LABELS
from trainer.fashion_mnist.config import TrainConfig, from_dict
from trainer.fashion_mnist.dataset import Split, load_train, split_validation
from trainer.fashion_mnist.network import accuracy
from trainer.fashion_mnist.train import Run
from trainer.fine_tuning import (
    LEARNERS,
    Base,
    FineTuningConfig,
    make_base,
)
from trainer.level_acceptance import with_parents
from trainer.photo_rule import FittedRule, PhotoRuleConfig, banks, fit_photo_rule
from trainer.photos.bundling import with_photo_network_of
from trainer.publish import TAXONOMY_NAME, check_bundle, write_bundle
from trainer.serving_model import ServingModel
from trainer.shop_photos import STRANGER, ShopPhotos
from trainer.source_model import load_source_model
from trainer.strangeness import FALSE_ALARMS, PARAMETERS
from trainer.written_aside import written_aside

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class AdaptConfig:
    """One run of `tagger adapt`; saved in the manifest that it writes."""

    learners: tuple[str, ...] = ("head", "network")
    folds: int = 3
    seed: int = 0
    # A learner must be better than the base on held-out photos, and by chance this seldom.
    doubt_max: float = 0.05
    known_min: int = 20  # fewer photos of the ten classes are not tried at all
    fine_tuning: FineTuningConfig = field(default_factory=FineTuningConfig)
    rule: PhotoRuleConfig = field(default_factory=PhotoRuleConfig)


@dataclass(frozen=True, kw_only=True)
class Adapted:
    """What came of it. `model_version` is the base's own where `choice.name` is `base`."""

    folder: Path
    model_version: str
    choice: Choice
    rule: FittedRule | None
    fashion_mnist: tuple[float, float]  # held-out accuracy before and after


@dataclass(frozen=True, kw_only=True)
class Learned:
    """A network that has learned, still in memory, with its rule for photos."""

    base: Base
    choice: Choice
    rule: FittedRule | None


def adapt(
    base_folder: Path,
    photos: ShopPhotos,
    data_folder: Path,
    out: Path,
    config: AdaptConfig,
    *,
    verify: bool = True,
    say: Say = lambda line: None,
) -> Adapted:
    """Learn from `photos` and write the bundle to `out`; where nothing is learned, the base's copy.

    Raises:
        BundleError, DatasetError: what was expected and what was found; `out` is as it was.
    """
    bundle = load_bundle(base_folder)
    if bundle.manifest.judge_of(PictureKind.PLAIN) is NetworkName.PHOTO:
        raise BundleError(
            f"Expected a bundle whose 28×28 network judges photos in {base_folder}, found one with "
            "a photo network, which this cannot teach. Adapt a bundle without one."
        )
    train, held_out = parts(bundle, data_folder, verify=verify)
    base = open_base(bundle, train, held_out, config)
    learned = learn(base, photos, config, say=say)
    if learned.choice.name == "base":
        if out.resolve() != base_folder.resolve():
            with written_aside(out) as aside:
                shutil.copytree(base_folder, aside, dirs_exist_ok=True)
                load_bundle(aside)
        return adapted(out, bundle.manifest.model_version, learned, base.held_out_accuracy)
    if NetworkName.PHOTO in bundle.parts:
        say("the photo network goes along as it is, for busy backgrounds: these photos taught the "
            "28×28 network, which judges the others")  # fmt: skip
    say("writing the bundle")
    with written_aside(out) as aside:
        version = write_adapted(aside, bundle, learned, photos, train, config)
    return adapted(out, version, learned, accuracy(base.network, held_out))


def adapted(out: Path, version: str, learned: Learned, after: float) -> Adapted:
    """The result's record."""
    return Adapted(
        folder=out,
        model_version=version,
        choice=learned.choice,
        rule=learned.rule,
        fashion_mnist=(learned.base.held_out_accuracy, after),
    )


def parts(bundle: Bundle, data_folder: Path, *, verify: bool) -> tuple[Split, Split]:
    """Fashion-MNIST's training images as the base had them: to learn from, and held out."""
    share = training_config(bundle).validation_share
    return split_validation(load_train(data_folder, verify=verify), share)


def training_config(bundle: Bundle) -> TrainConfig:
    """The recipe of the bundle, or of the one that it was adapted from."""
    return from_dict(bundle.manifest.training["config"])


def open_base(bundle: Bundle, train: Split, held_out: Split, config: AdaptConfig) -> Base:
    """The base network, ready to learn."""
    explainer = load_source_model(bundle.part(NetworkName.REDUCED))
    network = keras.Model(explainer.input, explainer.get_layer("logits").output, name="tagger")
    return make_base(network, train, held_out, config.fine_tuning, config.seed)


def learn(
    base: Base, photos: ShopPhotos, config: AdaptConfig, *, say: Say = lambda line: None
) -> Learned:
    """Choose a learner on held-out photos, fit the rule on these, then learn from all photos."""
    known = known_photos(photos)
    tried = config.learners if len(known) >= config.known_min else ()
    fold = folds_of(photos.labels, config.folds, config.seed)
    found = {}
    for name in ("base", *tried):
        say(f"{name}: learning {config.folds} times without a part, to be judged by it")
        found[name] = cross_fit(base, photos, LEARNERS[name], fold, config.seed)
    choice = choose(photos.labels, found, doubt_max=config.doubt_max)
    if choice.name == "base":
        return Learned(base=base, choice=choice, rule=None)
    chosen = found[choice.name]
    evidence = chosen.logits, photos.labels, chosen.strangeness
    rule = fit_photo_rule(*evidence, config.rule)
    rule = replace(rule, rule=with_parents(rule.rule, *evidence, LABELS, shipped(TAXONOMY_NAME)))
    say(f"{choice.name}: learning from all {len(known)} photos of the ten classes")
    LEARNERS[choice.name](base, known, config.seed)
    return Learned(base=base, choice=choice, rule=rule)


def write_adapted(
    folder: Path,
    bundle: Bundle,
    learned: Learned,
    photos: ShopPhotos,
    train: Split,
    config: AdaptConfig,
) -> str:
    """Every file of the adapted bundle; returns its version."""
    base, rule = learned.base, learned.rule
    assert rule is not None
    known = known_photos(photos)
    shown = Split(
        # The first ones show the converter the range of every activation.
        images=_alternating(known.images, train.images),
        labels=_alternating(known.labels, train.labels),
    )
    run = Run(
        folder=folder / "no-run",
        config=training_config(bundle),
        network=base.network,
        train=shown,
        validation=base.held_out,
        summary=bundle.manifest.training.get("summary", {}),
    )
    manifest = write_bundle(run, folder)
    check_bundle(folder, run)
    mine = folder / NetworkName.REDUCED
    serve = ServingModel(mine / SERVING_MODEL)
    parameters = banks(lambda images: serve(images).embedding, photos, base.replay)
    np.savez(mine / PARAMETERS, allow_pickle=False, **parameters)
    network = replace(
        manifest.networks[NetworkName.REDUCED],
        photos=rule.rule,
        out_of_taxonomy=OutOfTaxonomy(
            score=two_banks.__name__,
            threshold=strangeness_threshold(serve, base.held_out, parameters),
            parameters=PARAMETERS,
        ),
    )
    manifest = replace(
        manifest,
        networks={NetworkName.REDUCED: network},
        metrics={**manifest.metrics, "adaptation": figures(learned)},
        training={**manifest.training, "adaptation": provenance(bundle, photos, config)},
        files=checksums(folder),
    )
    if NetworkName.PHOTO in bundle.parts:
        manifest = with_photo_network_of(bundle, folder, manifest)
    write_manifest(folder, manifest)
    load_bundle(folder)
    return manifest.model_version


def strangeness_threshold(
    serve: ServingModel, held_out: Split, parameters: Mapping[str, Any]
) -> float:
    """Above which a picture that comes reduced is strange: one in a hundred garments is."""
    seen = serve(held_out.images)
    score = two_banks(seen.logits, seen.embedding, parameters)
    return float(np.quantile(score, 1 - FALSE_ALARMS))


def figures(learned: Learned) -> dict[str, Any]:
    """What was seen on held-out photos, for the manifest."""
    return {
        "chosen": learned.choice.name,
        "held_out": {name: asdict(each) for name, each in learned.choice.comparisons.items()},
        "rule": dict(learned.rule.figures) if learned.rule else None,
    }


def provenance(bundle: Bundle, photos: ShopPhotos, config: AdaptConfig) -> dict[str, Any]:
    """From which bundle and which photos; the photos themselves stay with the shop."""
    digest = hashlib.sha256(photos.images.tobytes() + photos.labels.tobytes()).hexdigest()
    return {
        "base": bundle.manifest.model_version,
        "photos": len(photos),
        "photos_sha256": digest,
        "labels": {
            label: int((photos.labels == number).sum())
            for number, label in [*enumerate(LABELS), (STRANGER, NOT_IN_TAXONOMY)]
        },
        "config": asdict(config),
    }


def _alternating(first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
    """The first ones of both in turns, then what is left of the longer one."""
    count = min(len(first), len(second))
    turns = np.stack([first[:count], second[:count]], axis=1).reshape(-1, *first.shape[1:])
    return np.concatenate([turns, first[count:], second[count:]])
