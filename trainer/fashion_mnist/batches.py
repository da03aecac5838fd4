"""Training batches: shuffled, augmented, the same for the same seed and epoch."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from trainer.fashion_mnist.augmentation import augment
from trainer.fashion_mnist.classes import LABELS
from trainer.fashion_mnist.config import TrainConfig
from trainer.fashion_mnist.dataset import Split
from trainer.fashion_mnist.easy_images import EasyImages, none_easy
from trainer.fashion_mnist.mixing import MIXES

Batch = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


class TrainingBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """One epoch of (images float32 (N, 28, 28, 1) 0-255, one-hot labels (N, 10), weights (N,)).

    Order and augmentation follow from seed, epoch and batch number alone, so that a resumed run
    sees what an uninterrupted one would have seen.
    """

    def __init__(self, data: Split, config: TrainConfig, easy: EasyImages | None = None) -> None:
        super().__init__(workers=0)
        self._data = data
        self._config = config
        self._easy_images = none_easy(len(data)) if easy is None else easy
        self._epoch = -1
        self._order = np.arange(len(data))

    def start_epoch(self, epoch: int) -> None:
        """Shuffle for `epoch`, counted from 0."""
        self._epoch = epoch
        rng = np.random.default_rng([self._config.seed, epoch])
        self._order = self._easy_images.thin(rng.permutation(len(self._data)), rng)

    def __len__(self) -> int:
        # The last, smaller batch is left out: the shuffle gives its images their turn, and one
        # shape means one compiled program.
        return max(1, (len(self._data) - self._easy_images.resting) // self._config.batch_size)

    def __getitem__(self, index: int) -> Batch:
        config = self._config
        places = self._order[index * config.batch_size :][: config.batch_size]
        chosen = self._data.take(places)
        rng = np.random.default_rng([config.seed, self._epoch + 1, index])
        images = augment(chosen, config.augmentation, rng)
        inputs, targets = images.astype(np.float32), one_hot(chosen.labels)
        if config.mix is not None and rng.random() < config.mix_share:
            inputs, targets = MIXES[config.mix](inputs, targets, rng)
        return inputs, targets, self._easy_images.weights(places)


class StartEpoch(keras.callbacks.Callback):  # type: ignore[misc]
    """Tells the batches which epoch begins, after a resume too."""

    def __init__(self, batches: TrainingBatches) -> None:
        super().__init__()
        self._batches = batches

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._batches.start_epoch(epoch)


def one_hot(labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """float32 (N, 10)."""
    return np.eye(len(LABELS), dtype=np.float32)[labels]
