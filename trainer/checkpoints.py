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


class EpochLog(keras.callbacks.Callback):  # type: ignore[misc]
    """Appends a line of CSV after each epoch.

    Not Keras's CSVLogger, which keeps the file open when training ends by an exception and knows
    nothing of epochs that are trained again after a kill.
    """

    def __init__(self, log: Path, first_epoch: int) -> None:
        super().__init__()
        self._log = log
        self._rows = [row for row in read_log(log) if int(row["epoch"]) < first_epoch]

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        rate = float(self.model.optimizer.learning_rate)
        row = {"epoch": epoch, "learning_rate": rate, **(logs or {})}
        self._rows.append({name: str(value) for name, value in row.items()})
        with self._log.open("w", newline="", encoding="utf-8") as stream:
            table = csv.DictWriter(stream, list(self._rows[-1]))
            table.writeheader()
            table.writerows(self._rows)


class EarlyStopping(keras.callbacks.EarlyStopping):  # type: ignore[misc]
    """Stops after `patience` epochs without a better validation accuracy, across resumes too.

    Keras's own begins to wait anew after a resume; this one first looks at the epochs in the log.
    """

    def __init__(self, log: Path, first_epoch: int, patience: int) -> None:
        super().__init__("val_accuracy", mode="max", patience=patience)
        self._earlier = [row for row in read_log(log) if int(row["epoch"]) < first_epoch]

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        for row in self._earlier:
            self.on_epoch_end(int(row["epoch"]), {"val_accuracy": float(row["val_accuracy"])})


def read_log(log: Path) -> list[dict[str, str]]:
    """The lines of a log that was written so far."""
    if not log.is_file():
        return []
    with log.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))
