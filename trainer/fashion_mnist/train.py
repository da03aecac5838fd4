"""Train one network: config, data, model, fit. Reads top to bottom."""

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from catalog.errors import OperatorError
from trainer.checkpoints import Checkpoint, EarlyStopping, EpochLog, resume
from trainer.fashion_mnist.batches import StartEpoch, TrainingBatches, one_hot
from trainer.fashion_mnist.config import ConfigError, TrainConfig, from_dict
from trainer.fashion_mnist.dataset import Split, load_train, split_validation
from trainer.fashion_mnist.distillation import Student
from trainer.fashion_mnist.easy_images import find_easy_images
from trainer.fashion_mnist.network import accuracy, build_network
from trainer.fashion_mnist.precision import arithmetic

CONFIG = "config.json"
LOG = "log.csv"
WEIGHTS = "model.weights.h5"
SUMMARY = "summary.json"


class TrainingStoppedError(OperatorError):
    """Training ended before its last epoch; says how to go on."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished training: the network with its averaged weights, and where it was kept."""

    folder: Path
    config: TrainConfig
    network: keras.Model
    train: Split
    validation: Split
    summary: dict[str, Any]


def train(
    config: TrainConfig,
    data_folder: Path,
    run_folder: Path,
    *,
    verify: bool = True,
    teachers: Sequence[Path] = (),
    start_from: Path | None = None,
    verbose: int = 1,
) -> Run:
    """Train by `config`, or go on where a killed run in `run_folder` stood; a finished one is read.

    `teachers` are finished runs to learn from; `start_from` one whose weights are the first.

    Raises:
        ConfigError: `run_folder` holds a run of another config, a run named is not finished, or
            images shall rest and there is no network to say which.
        DatasetError: the data is missing or not as published.
        CheckpointError: a checkpoint cannot be written or read.
        TrainingStoppedError: Ctrl-C, or the loss is no number any more.
    """
    if config.rest_share and start_from is None:
        raise ConfigError(
            "Expected --start-from with rest_share: the network of an earlier run says which "
            "images are easy. Name one, or leave rest_share at 0."
        )
    claim_folder(run_folder, config)
    if (run_folder / SUMMARY).is_file():
        return load_run(run_folder, data_folder, verify=verify)
    keras.utils.set_random_seed(config.seed)
    train_data, validation = load_parts(config, data_folder, verify=verify)
    network = build_network(config) if start_from is None else load_network(start_from)[1]
    easy = find_easy_images(network, train_data, config.rest_share) if config.rest_share else None
    batches = TrainingBatches(train_data, config, easy)
    with arithmetic(config.precision):
        fitted = build_network(config)
        fitted.set_weights(network.get_weights())
        learner = learner_of(fitted, config, [load_network(folder)[1] for folder in teachers])
    started = time.monotonic()
    fit(learner, batches, validation, config, run_folder, verbose)
    network.set_weights(fitted.get_weights())
    if not np.isfinite(network.get_layer("class_maps").kernel).all():
        raise TrainingStoppedError(
            "Expected a loss that falls, found one that is no number. Lower the learning rate, and "
            f"delete {run_folder}."
        )
    network.save_weights(run_folder / WEIGHTS)
    summary = {
        "backend": keras.backend.backend(),
        "parameters": network.count_params(),
        "seconds_since_last_start": round(time.monotonic() - started),
        "validation_accuracy": accuracy(network, validation),
        "teachers": [str(folder) for folder in teachers],
        "start_from": None if start_from is None else str(start_from),
    }
    (run_folder / SUMMARY).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return Run(
        folder=run_folder,
        config=config,
        network=network,
        train=train_data,
        validation=validation,
        summary=summary,
    )


def fit(
    learner: keras.Model,
    batches: TrainingBatches,
    validation: Split,
    config: TrainConfig,
    run_folder: Path,
    verbose: int,
) -> None:
    """Train through the epochs that are left, a checkpoint after each.

    Raises:
        TrainingStoppedError: Ctrl-C.
    """
    learner.compile(
        optimizer=optimizer(config, len(batches)),
        loss=keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=config.label_smoothing
        ),
        metrics=["accuracy"],
        # XLA was slower on CPUs with TensorFlow, torch.compile with PyTorch.
        jit_compile=keras.backend.backend() == "jax",
    )
    first_epoch = resume(learner, run_folder, len(batches))
    try:
        learner.fit(
            batches,
            epochs=config.epochs,
            initial_epoch=first_epoch,
            validation_data=(validation.images, one_hot(validation.labels)),
            validation_batch_size=500,
            callbacks=callbacks(config, batches, run_folder, first_epoch),
            # The batches are shuffled already; Keras would draw from a state that no resume has.
            shuffle=False,
            verbose=verbose,
        )
    except KeyboardInterrupt:
        raise TrainingStoppedError(
            f"Stopped in an epoch. The epochs before it are kept in {run_folder}; the same command "
            "goes on from there."
        ) from None


def load_run(run_folder: Path, data_folder: Path, *, verify: bool = True) -> Run:
    """A run that finished earlier.

    Raises:
        ConfigError: there is no finished run in `run_folder`.
    """
    config, network = load_network(run_folder)
    train_data, validation = load_parts(config, data_folder, verify=verify)
    return Run(
        folder=run_folder,
        config=config,
        network=network,
        train=train_data,
        validation=validation,
        summary=json.loads((run_folder / SUMMARY).read_text(encoding="utf-8")),
    )


def load_network(run_folder: Path) -> tuple[TrainConfig, keras.Model]:
    """The config and the network of a finished run.

    Raises:
        ConfigError: there is no finished run in `run_folder`.
    """
    if not (run_folder / SUMMARY).is_file():
        raise ConfigError(
            f"Expected a finished run in {run_folder}, found no {SUMMARY}. Run `tagger train` "
            "again with the same --run folder: it goes on where it stopped."
        )
    config = read_config(run_folder)
    network = build_network(config)
    network.load_weights(run_folder / WEIGHTS)
    return config, network


def learner_of(
    network: keras.Model, config: TrainConfig, teachers: Sequence[keras.Model]
) -> keras.Model:
    """What is fitted: the network itself, or a student around it where there are teachers."""
    if not teachers:
        return network
    return Student(
        network,
        tuple(teachers),
        share=config.distillation_share,
        temperature=config.distillation_temperature,
    )


def load_parts(config: TrainConfig, data_folder: Path, *, verify: bool) -> tuple[Split, Split]:
    """The training and the validation part. The test set is not opened here."""
    data = load_train(data_folder, verify=verify)
    train_data, validation = split_validation(data, config.validation_share)
    if config.train_images_max is not None:
        train_data = Split(
            images=train_data.images[: config.train_images_max],
            labels=train_data.labels[: config.train_images_max],
        )
    return train_data, validation


def claim_folder(run_folder: Path, config: TrainConfig) -> None:
    """Write the config into `run_folder`; a run that is there already must be of the same.

    Raises:
        ConfigError: another run has the folder.
    """
    run_folder.mkdir(parents=True, exist_ok=True)
    if (run_folder / CONFIG).is_file():
        if read_config(run_folder) != config:
            raise ConfigError(
                f"Expected a new folder or a run of the same config in {run_folder}, found a run "
                f"of another one. Compare {run_folder / CONFIG}, or choose another --run."
            )
        return
    text = json.dumps(config.to_dict(), indent=2) + "\n"
    (run_folder / CONFIG).write_text(text, encoding="utf-8")


def read_config(run_folder: Path) -> TrainConfig:
    """The config that `run_folder` was trained by."""
    return from_dict(json.loads((run_folder / CONFIG).read_text(encoding="utf-8")))


def optimizer(config: TrainConfig, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """SGD with Nesterov momentum, warm-up, cosine decay to zero, and averaged weights."""
    steps = config.epochs * steps_per_epoch
    warmup = max(1, math.ceil(steps * config.warmup_share))
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=config.learning_rate / 20,
        decay_steps=max(1, steps - warmup),
        warmup_target=config.learning_rate,
        warmup_steps=warmup,
    )
    sgd = keras.optimizers.SGD(
        schedule,
        momentum=config.momentum,
        nesterov=True,
        weight_decay=config.weight_decay,
        use_ema=True,
        ema_momentum=config.ema_momentum,
    )
    sgd.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return sgd


def callbacks(
    config: TrainConfig, batches: TrainingBatches, run_folder: Path, first_epoch: int
) -> list[keras.callbacks.Callback]:
    """Validate the averaged weights, log, keep a checkpoint of each epoch, stop on NaN."""
    chosen: list[keras.callbacks.Callback] = [
        StartEpoch(batches),
        keras.callbacks.SwapEMAWeights(),
        keras.callbacks.TerminateOnNaN(),
        EpochLog(run_folder / LOG, first_epoch),
        Checkpoint(run_folder),
    ]
    if config.patience is not None:
        chosen.append(EarlyStopping(run_folder / LOG, first_epoch, config.patience))
    return chosen
