import csv
import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from trainer.checkpoints import CHECKPOINT, CheckpointError, EarlyStopping
from trainer.fashion_mnist.batches import TrainingBatches, one_hot
from trainer.fashion_mnist.config import ConfigError, TrainConfig, from_dict, preset, with_setting
from trainer.fashion_mnist.dataset import load_train
from trainer.fashion_mnist.mixing import MIXES
from trainer.fashion_mnist.train import (
    LOG,
    SUMMARY,
    Run,
    TrainingStoppedError,
    load_run,
    read_config,
    train,
)

pytestmark = pytest.mark.training


class KilledError(Exception):
    """Stands for SIGKILL: nothing of the run survives but its folder."""


def weights(run: Run) -> list[np.ndarray]:
    return [np.asarray(value) for value in run.network.get_weights()]


def epochs_logged(run_folder: Path) -> list[int]:
    with (run_folder / LOG).open(newline="") as stream:
        return [int(row["epoch"]) for row in csv.DictReader(stream)]


def test_training_learns_more_than_chance(run: Run) -> None:
    assert run.summary["validation_accuracy"] > 0.3


def test_the_config_is_saved_with_the_run(run: Run, small_config: TrainConfig) -> None:
    assert read_config(run.folder) == small_config


def test_every_epoch_is_logged_once(run: Run, small_config: TrainConfig) -> None:
    assert epochs_logged(run.folder) == list(range(small_config.epochs))


def test_a_killed_run_goes_on_to_the_same_weights(
    run: Run,
    small_config: TrainConfig,
    data_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def kill_in_fourth_epoch(self: TrainingBatches, epoch: int) -> None:
        if epoch == 3:
            raise KilledError
        start(self, epoch)

    start = TrainingBatches.start_epoch
    with monkeypatch.context() as patch:
        patch.setattr(TrainingBatches, "start_epoch", kill_in_fourth_epoch)
        with pytest.raises(KilledError):
            train(small_config, data_folder, tmp_path, verify=False, verbose=0)
    resumed = train(small_config, data_folder, tmp_path, verify=False, verbose=0)
    for one, other in zip(weights(run), weights(resumed), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    assert epochs_logged(tmp_path) == list(range(small_config.epochs))


def test_a_finished_run_is_read_back_with_its_weights(run: Run, data_folder: Path) -> None:
    again = load_run(run.folder, data_folder, verify=False)
    for one, other in zip(weights(run), weights(again), strict=True):
        assert np.array_equal(one, other)


def test_a_finished_run_is_not_trained_again(
    run: Run, small_config: TrainConfig, data_folder: Path
) -> None:
    again = train(small_config, data_folder, run.folder, verify=False, verbose=0)
    for one, other in zip(weights(run), weights(again), strict=True):
        assert np.array_equal(one, other)
    assert epochs_logged(run.folder) == list(range(small_config.epochs))


def test_a_run_folder_of_another_config_is_refused(
    run: Run, small_config: TrainConfig, data_folder: Path
) -> None:
    with pytest.raises(ConfigError, match="another --run"):
        train(replace(small_config, seed=7), data_folder, run.folder, verify=False)


def test_an_unfinished_run_cannot_be_a_teacher(
    small_config: TrainConfig, data_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="Expected a finished run"):
        train(small_config, data_folder, tmp_path / "a", verify=False, teachers=[tmp_path / "none"])


def test_a_student_learns_from_its_teacher(
    run: Run, small_config: TrainConfig, data_folder: Path, tmp_path: Path
) -> None:
    config = replace(small_config, epochs=1, distillation_share=1.0)
    student = train(
        config,
        data_folder,
        tmp_path,
        verify=False,
        teachers=[run.folder],
        start_from=run.folder,
        verbose=0,
    )
    # It starts as its own teacher, so a step moves it little and what it knew stays.
    assert student.summary["validation_accuracy"] > run.summary["validation_accuracy"] - 0.15
    assert student.summary["teachers"] == [str(run.folder)]


def test_an_interrupt_keeps_the_epochs_before_it(
    small_config: TrainConfig, data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: TrainingBatches, epoch: int) -> None:
        if epoch == 1:
            raise KeyboardInterrupt
        start(self, epoch)

    start = TrainingBatches.start_epoch
    monkeypatch.setattr(TrainingBatches, "start_epoch", interrupt)
    with pytest.raises(TrainingStoppedError, match="goes on from there"):
        train(small_config, data_folder, tmp_path, verify=False, verbose=0)
    assert (tmp_path / CHECKPOINT).is_file()


def test_a_damaged_checkpoint_is_named(
    run: Run, small_config: TrainConfig, data_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(run.folder, folder)
    (folder / SUMMARY).unlink()
    (folder / CHECKPOINT).write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match=CHECKPOINT):
        train(small_config, data_folder, folder, verify=False, verbose=0)


def test_batches_follow_from_seed_and_epoch_alone(
    data_folder: Path, small_config: TrainConfig
) -> None:
    data = load_train(data_folder, verify=False)
    one, other = TrainingBatches(data, small_config), TrainingBatches(data, small_config)
    one.start_epoch(0)
    one.start_epoch(4)
    other.start_epoch(4)
    assert np.array_equal(one[2][0], other[2][0])
    other.start_epoch(5)
    assert not np.array_equal(one[2][0], other[2][0])


def test_a_config_survives_being_written() -> None:
    config = preset("standard", seed=3, stem_stride=1)
    assert from_dict(config.to_dict()) == config


@pytest.mark.parametrize(("name", "changes"), [("none", {}), ("quick", {"epochs": 0})])
def test_a_recipe_that_cannot_be_trained_is_refused(name: str, changes: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        preset(name, **changes)


def test_any_field_of_a_recipe_can_be_set() -> None:
    config = preset("quick")
    assert with_setting(config, "mix=cutmix").mix == "cutmix"
    assert with_setting(config, "patience=3").patience == 3
    assert with_setting(config, "widths=[8, 16]").widths == (8, 16)
    assert with_setting(config, "augmentation.photo_share=0").augmentation.photo_share == 0.0


@pytest.mark.parametrize(
    "setting", ["none=1", "augmentation=1", "epochs=many", "epochs=0", "mix=stir", "preset.x=1"]
)
def test_a_setting_that_no_recipe_has_is_refused(setting: str) -> None:
    with pytest.raises(ConfigError):
        with_setting(preset("quick"), setting)


def test_early_stopping_counts_the_epochs_before_a_resume(tmp_path: Path) -> None:
    log = tmp_path / LOG
    log.write_text("epoch,val_accuracy\n0,0.9\n1,0.8\n2,0.7\n")
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    for first_epoch, stops in ((3, True), (2, False)):
        stopping = EarlyStopping(log, first_epoch, patience=3)
        stopping.set_model(network)
        network.stop_training = False
        stopping.on_train_begin()
        stopping.on_epoch_end(first_epoch, {"val_accuracy": 0.6})
        assert network.stop_training is stops


@pytest.mark.parametrize("mix", sorted(MIXES))
def test_mixed_labels_say_how_much_of_each_image_is_there(mix: str) -> None:
    black, white = np.zeros((4, 28, 28, 1), np.float32), np.full((4, 28, 28, 1), 255, np.float32)
    images = np.concatenate([black, white])
    labels = one_hot(np.repeat([0, 1], 4))
    seen, said = MIXES[mix](images, labels, np.random.default_rng(1))
    np.testing.assert_allclose(said.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(seen.mean(axis=(1, 2, 3)) / 255, said[:, 1], atol=1e-4)
    assert ((said[:, 1] > 0) & (said[:, 1] < 1)).any()


def test_the_shipped_recipe_stays_within_a_million_parameters() -> None:
    from trainer.fashion_mnist.network import build_network

    assert build_network(preset("standard")).count_params() <= 1_000_000
    assert keras.backend.floatx() == "float32"
