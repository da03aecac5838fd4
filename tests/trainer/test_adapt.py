"""Learning from corrections: the "photos" are garments that lie upside down, as a shop's might."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from catalog.bundle import load_bundle
from catalog.cli import main
from catalog.networks import NetworkName
from catalog.taxonomy.reserved import NOT_IN_TAXONOMY
from trainer import adapt_commands
from trainer.adapt import AdaptConfig, Adapted, adapt, learn, open_base, parts
from trainer.cross_fitting import OutOfFold, choose, folds_of
from trainer.fashion_mnist.classes import LABELS
from trainer.fashion_mnist.dataset import Split
from trainer.fashion_mnist.network import accuracy
from trainer.fine_tuning import Base, FineTuningConfig, fit_network, make_base
from trainer.serving_model import ServingModel
from trainer.shop_photos import STRANGER, ShopPhotos
from trainer.strangeness import draw_shapes

pytestmark = pytest.mark.training
Garments = tuple[NDArray[np.uint8], NDArray[np.uint8]]

SMALL = AdaptConfig(
    learners=("head",),
    folds=2,
    fine_tuning=FineTuningConfig(
        views=2, replay_images=200, steps_per_photo=0.3, forgetting_max=0.05
    ),
)


def shop(garments: Garments, first: int, count: int, strangers: int = 0) -> ShopPhotos:
    """Garments upside down, and drawn shapes that are none."""
    images, labels = garments
    turned = images[first : first + count, ::-1, :, None]
    shapes = draw_shapes(max(1, strangers), np.random.default_rng(0))[:strangers]
    return ShopPhotos(
        images=np.concatenate([turned, shapes]),
        labels=np.concatenate(
            [labels[first : first + count].astype(np.int64), np.full(strangers, STRANGER)]
        ),
    )


@pytest.fixture(scope="module")
def result(
    bundle_folder: Path,
    data_folder: Path,
    garments: Garments,
    tmp_path_factory: pytest.TempPathFactory,
) -> Adapted:
    out = tmp_path_factory.mktemp("adapted") / "bundle"
    photos = shop(garments, 0, 250, strangers=30)
    return adapt(bundle_folder, photos, data_folder, out, SMALL, verify=False)


def test_an_adapted_bundle_is_better_on_photos_that_it_never_saw(
    result: Adapted, bundle_folder: Path, garments: Garments
) -> None:
    others = shop(garments, 450, 150)
    right = {}
    for folder in (bundle_folder, result.folder):
        serve = ServingModel(load_bundle(folder).part(NetworkName.REDUCED).serving_model)
        right[folder] = (serve(others.images).logits.argmax(axis=1) == others.labels).mean()
    assert result.choice.name == "head"
    assert right[result.folder] > right[bundle_folder] + 0.05


def test_an_adapted_bundle_has_its_own_version_rule_and_history(
    result: Adapted, bundle_folder: Path
) -> None:
    manifest, base = load_bundle(result.folder).manifest, load_bundle(bundle_folder).manifest
    assert manifest.model_version == result.model_version != base.model_version
    network = manifest.networks[NetworkName.REDUCED]
    assert network.photos is not None
    assert network.photos.acceptance.precision == 0.97
    assert {"tops", "footwear"} <= set(network.photos.acceptance.confidence_min)
    assert network.out_of_taxonomy.score == "two_banks"
    history = manifest.training["adaptation"]
    assert history["base"] == base.model_version
    assert history["labels"][NOT_IN_TAXONOMY] == 30
    assert json.loads(json.dumps(manifest.metrics["adaptation"]))["chosen"] == "head"


def test_fashion_mnist_is_not_forgotten(result: Adapted) -> None:
    before, after = result.fashion_mnist
    assert after >= before - SMALL.fine_tuning.forgetting_max


def test_with_few_corrections_the_base_stays_and_is_copied(
    bundle_folder: Path, data_folder: Path, garments: Garments, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = adapt(bundle_folder, shop(garments, 0, 8), data_folder, out, SMALL, verify=False)
    assert result.choice.name == "base"
    assert load_bundle(out).manifest == load_bundle(bundle_folder).manifest
    assert "The base stays" in adapt_commands.as_text(result)


@pytest.fixture(scope="module")
def base(bundle_folder: Path, data_folder: Path) -> Base:
    bundle = load_bundle(bundle_folder)
    return open_base(bundle, *parts(bundle, data_folder, verify=False), SMALL)


def test_training_the_whole_network_learns_and_keeps_what_it_knew(
    base: Base, garments: Garments
) -> None:
    photos = shop(garments, 0, 250)
    seen = Split(images=photos.images, labels=photos.labels)
    # So small a network has room for photos only where Fashion-MNIST weighs no more than they do.
    ready = replace(base, config=replace(base.config, replay_weight=1.0, steps_per_photo=0.6))
    ready.restore()
    before = accuracy(ready.network, seen)
    fit_network(ready, seen, 0)
    after, kept = accuracy(ready.network, seen), accuracy(ready.network, base.held_out)
    ready.restore()
    assert after > before
    assert kept >= base.held_out_accuracy - SMALL.fine_tuning.forgetting_max
    assert accuracy(base.network, base.held_out) == base.held_out_accuracy


def test_training_that_diverges_leaves_the_base(base: Base, garments: Garments) -> None:
    photos = shop(garments, 0, 100)
    seen = Split(images=photos.images, labels=photos.labels)
    wild = replace(base.config, learning_rate=1e30, gradient_norm_max=1e30)
    fit_network(replace(base, config=wild), seen, 0)
    assert accuracy(base.network, base.held_out) == base.held_out_accuracy


def test_labels_that_are_noise_teach_nothing_and_the_base_stays(
    base: Base, garments: Garments
) -> None:
    photos = shop(garments, 0, 120)
    noise = np.random.default_rng(0).permutation(photos.labels)
    learned = learn(base, ShopPhotos(images=photos.images, labels=noise), SMALL)
    assert learned.choice.name == "base"


def outputs(predicted: list[int]) -> OutOfFold:
    logits = np.eye(10, dtype=np.float32)[predicted]
    return OutOfFold(logits=logits, strangeness=np.zeros(len(predicted), np.float32))


def test_a_learner_must_be_better_beyond_doubt() -> None:
    labels = np.zeros(40, np.int64)
    found = {
        "base": outputs([0] * 30 + [1] * 10),
        "head": outputs([0] * 34 + [1] * 6),
        "network": outputs([1] + [0] * 39),
    }
    choice = choose(labels, found, doubt_max=0.05)
    assert choice.name == "network"
    assert (choice.comparisons["network"].better, choice.comparisons["network"].worse) == (10, 1)
    assert choice.comparisons["head"].doubt == pytest.approx(0.5**4)
    del found["network"]
    assert choose(labels, found, doubt_max=0.05).name == "base"


def test_what_is_in_no_class_does_not_count_for_or_against_a_learner() -> None:
    labels = np.full(40, STRANGER)
    labels[:2] = 0
    found = {"base": outputs([1] * 40), "head": outputs([0] * 40)}
    assert choose(labels, found, doubt_max=0.05).comparisons["head"].better == 2


def test_folds_spread_every_label() -> None:
    labels = np.repeat(np.arange(10), 7)
    fold = folds_of(labels, 3, seed=0)
    for label in range(10):
        assert np.bincount(fold[labels == label], minlength=3).min() >= 2


def test_the_base_draws_its_replay_from_the_training_part_alone(base: Base) -> None:
    again = make_base(base.network, base.replay, base.held_out, base.config)
    assert len(again.replay) == len(base.replay)
    np.testing.assert_allclose(again.replay_targets.sum(axis=1), 1, rtol=1e-5)


def test_the_command_reads_corrections_skips_what_is_unreadable_and_writes_the_bundle(
    bundle_folder: Path,
    data_folder: Path,
    garments: Garments,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trainer.adapt.AdaptConfig", lambda **fields: SMALL)
    photos = shop(garments, 0, 200, strangers=20)
    lines = [json.dumps({"image_uri": str(tmp_path / "none.png"), "label": "bag"}), "{"]
    for number, (image, label) in enumerate(zip(photos.images, photos.labels, strict=True)):
        path = tmp_path / f"{number}.png"
        Image.fromarray(255 - image[..., 0]).save(path)
        name = NOT_IN_TAXONOMY if label == STRANGER else LABELS[label]
        lines.append(json.dumps({"image_uri": path.as_uri(), "label": name}))
    corrections = tmp_path / "corrections.jsonl"
    corrections.write_text("\n".join(lines))
    result = CliRunner().invoke(
        main,
        ["adapt", "--corrections", str(corrections), "--out", str(tmp_path / "new"), "--json",
         "--base", str(bundle_folder), "--data-dir", str(data_folder), "--unverified-data"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    fields = json.loads(result.stdout)
    assert fields["chosen"] == "head"
    assert fields["photos"] == 220
    assert len(fields["skipped"]) == 2
    assert "skipped: line 2" in result.stderr
    assert load_bundle(tmp_path / "new").manifest.model_version == fields["model_version"]
