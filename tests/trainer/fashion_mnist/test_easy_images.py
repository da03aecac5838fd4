from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trainer.fashion_mnist.batches import TrainingBatches
from trainer.fashion_mnist.config import ConfigError, TrainConfig, preset
from trainer.fashion_mnist.dataset import load_train
from trainer.fashion_mnist.easy_images import EasyImages, find_easy_images
from trainer.fashion_mnist.train import Run, train

pytestmark = pytest.mark.training
EASY = np.arange(1000) % 4 > 0


def epoch(easy: EasyImages, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return easy.thin(rng.permutation(len(easy.mask)), rng)


def test_hard_images_never_rest_and_easy_ones_take_turns() -> None:
    easy = EasyImages(mask=EASY, share=0.6)
    one, other = epoch(easy, 0), epoch(easy, 1)
    assert len(one) == len(other) == len(EASY) - easy.resting == 1000 - 450
    for seen in (one, other):
        assert len(set(seen)) == len(seen)
        assert set(np.flatnonzero(~EASY)) <= set(seen)
    assert set(one) != set(other)


def test_an_epoch_has_easy_images_from_its_first_batch_on() -> None:
    easy = EasyImages(mask=EASY, share=0.6)
    seen = epoch(easy, 3)
    first, last = EASY[seen[: len(seen) // 2]].mean(), EASY[seen[len(seen) // 2 :]].mean()
    assert first == pytest.approx(last, abs=0.1)


def test_what_rests_is_made_up_for_by_weight() -> None:
    easy = EasyImages(mask=EASY, share=0.6)
    value = np.random.default_rng(2).normal(size=len(EASY))
    epochs = [epoch(easy, seed) for seed in range(400)]
    sums = [(easy.weights(seen) * value[seen]).sum() for seen in epochs]
    assert sum(easy.weights(epochs[0])) == pytest.approx(len(EASY))
    assert np.mean(sums) == pytest.approx(value.sum(), abs=3 * np.std(sums) / np.sqrt(400))


def test_easy_is_what_the_network_gets_right(run: Run) -> None:
    easy = find_easy_images(run.network, run.train, 0.5)
    logits = run.network.predict(run.train.images, verbose=0)
    correct = logits.argmax(1) == run.train.labels
    assert correct[easy.mask].mean() > correct[~easy.mask].mean()


def test_batches_of_a_set_with_easy_images_are_fewer_and_weighted(
    data_folder: Path, small_config: TrainConfig
) -> None:
    data = load_train(data_folder, verify=False)
    easy = EasyImages(mask=np.arange(len(data)) % 2 == 0, share=0.5)
    batches = TrainingBatches(data, small_config, easy)
    batches.start_epoch(0)
    assert len(batches) == (len(data) - easy.resting) // small_config.batch_size
    assert np.unique(batches[0][2]) == pytest.approx([1, 225 / 113])


def test_a_run_that_lets_easy_images_rest_goes_on_from_another_one(
    run: Run, small_config: TrainConfig, data_folder: Path, tmp_path: Path
) -> None:
    config = replace(small_config, epochs=1, rest_share=0.5)
    resting = train(
        config, data_folder, tmp_path / "resting", verify=False, start_from=run.folder, verbose=0
    )
    assert resting.summary["validation_accuracy"] > 0.3


def test_rest_needs_a_network_that_says_who_may(
    small_config: TrainConfig, data_folder: Path, tmp_path: Path
) -> None:
    config = replace(small_config, rest_share=0.5)
    with pytest.raises(ConfigError, match="start-from"):
        train(config, data_folder, tmp_path / "first", verify=False, verbose=0)
    assert not (tmp_path / "first").exists()


@pytest.mark.parametrize("changes", [{"rest_share": 1.0}, {"rest_share": 0.5, "mix": "mixup"}])
def test_shares_that_cannot_rest_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        preset("quick", **changes)
