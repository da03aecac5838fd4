"""Go on after a kill, to the same result.

Keras's BackupAndRestore writes weights and epoch number as two files, so a kill between the two
trains one epoch twice. Here the epoch follows from the optimizer's step count inside one file,
which is written aside and renamed.
"""

import csv
from pathlib import Path
from typing import Any

import keras

from catalog.errors import OperatorError

CHECKPOINT = "checkpoint.weights.h5"


class CheckpointError(OperatorError):
    """A checkpoint could not be written or read."""


class Checkpoint(keras.callbacks.Callback):  # type: ignore[misc]
    """Saves weights, their averages and the optimizer's state after each epoch."""

    def __init__(self, run_folder: Path) -> None:
        super().__init__()
        self._path = run_folder / CHECKPOINT

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        aside = self._path.with_name(f"new.{CHECKPOINT}")
        try:
            self.model.save_weights(aside, overwrite=True)
            aside.replace(self._path)
        except OSError as error:
            raise CheckpointError(
                f"Expected to write the checkpoint {self._path}, but: {error}. Make room and run "
                "the same command again: it goes on from the last good one."
            ) from error


def resume(learner: keras.Model, run_folder: Path, steps_per_epoch: int) -> int:
    """Load the checkpoint in `run_folder`, if there is one, and return the epoch to go on with.

    Raises:
        CheckpointError: the checkpoint cannot be read.
    """
    path = run_folder / CHECKPOINT
    if not path.is_file():
        return 0
    learner.optimizer.build(learner.trainable_variables)
    try:
        learner.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"Expected the checkpoint of this run in {path}, found: {error}. Delete it to start "
            "over."
        ) from error
    return int(learner.optimizer.iterations) // steps_per_epoch


def cut_log(log: Path, epochs: int) -> None:
    """Drop the lines of epochs that were logged but not kept, so that none stands there twice."""
    if not log.is_file():
        return
    with log.open(newline="", encoding="utf-8") as stream:
        header, *rows = list(csv.reader(stream)) or [[]]
    kept = [row for row in rows if row and row[0].isdigit() and int(row[0]) < epochs]
    with log.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *kept])
