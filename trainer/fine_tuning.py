"""Learn from a shop's photos without forgetting Fashion-MNIST: two ways, cheap and thorough."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from catalog.statistics import softmax
from trainer.fashion_mnist.augmentation import augment
from trainer.fashion_mnist.batches import one_hot
from trainer.fashion_mnist.classes import LABELS
from trainer.fashion_mnist.config import PLAIN
from trainer.fashion_mnist.dataset import Split
from trainer.fashion_mnist.network import accuracy, logits_of

# Images, soft targets and the weight of each in the loss, float32.
WeightedBatch = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
Weights = Sequence[NDArray[np.float32]]
Learner = Callable[["Base", Split, int], None]

# Fashion-MNIST images beside photos are flipped and moved a little, or they are learned by heart.
REPLAY_AUGMENTATION = PLAIN
# A correction is shown many times, each time otherwise; what the photo look imitates it has.
SHOP_AUGMENTATION = replace(
    PLAIN,
    gentle_share=0.9,
    shift_px_max=2.0,
    scale_max=0.12,
    rotation_deg_max=10.0,
    shear_max=0.1,
    pose_share=0.05,
    tone_share=0.3,
    noise_share=0.05,
    blur_share=0.1,
    erase_share=0.2,
)


@dataclass(frozen=True, kw_only=True)
class FineTuningConfig:
    """How a base network learns from corrections."""

    views: int = 8  # of each photo, for the head on frozen features
    head_anchor: float = 1e-3  # pulls the head towards the base's, per squared weight
    shop_batch: int = 64
    replay_batch: int = 64  # Fashion-MNIST images beside them in each step
    replay_images: int = 20_000
    replay_weight: float = 3.0  # of a Fashion-MNIST image in the loss, where a photo weighs 1
    replay_base_share: float = 0.5  # weight of the base's own word on them, against forgetting
    steps_per_photo: float = 1.5
    steps_min: int = 60
    steps_max: int = 750
    learning_rate: float = 0.05  # for each of the networks that were joined
    gradient_norm_max: float = 2.0  # of a step: frozen batch norm holds nothing back
    label_smoothing: float = 0.1
    forgetting_max: float = 0.008  # of the held-out Fashion-MNIST accuracy
    forgetting_steps: int = 10  # tries on the way back to the base

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Base:
    """A base network, what it was, and the Fashion-MNIST images that keep it from forgetting.

    `network` gives logits; its weights are `weights` before and whatever was learned after.
    `replay` are training images, `replay_targets` float32 (N, 10) what to say of them;
    `held_out` were neither trained on here nor when the base was made.
    """

    network: keras.Model
    weights: Weights
    config: FineTuningConfig
    replay: Split
    replay_targets: NDArray[np.float32]
    held_out: Split
    held_out_accuracy: float

    def restore(self) -> None:
        """Forget everything learned since."""
        self.network.set_weights(self.weights)


def make_base(
    network: keras.Model,
    train: Split,
    held_out: Split,
    config: FineTuningConfig,
    seed: int = 0,
) -> Base:
    """Draw the images to replay, and ask the network what it thinks of them."""
    drawn = np.random.default_rng(seed).permutation(len(train))[: config.replay_images]
    replay = train.take(drawn)
    said = softmax(logits_of(network, replay.images)).astype(np.float32)
    share = config.replay_base_share
    return Base(
        network=network,
        weights=network.get_weights(),
        config=config,
        replay=replay,
        replay_targets=share * said + (1 - share) * one_hot(replay.labels),
        held_out=held_out,
        held_out_accuracy=accuracy(network, held_out),
    )


def fit_nothing(base: Base, photos: Split, seed: int) -> None:
    """The base as it is."""
    base.restore()


def fit_head(base: Base, photos: Split, seed: int) -> None:
    """Fit the class-map kernel alone on frozen features, averaged over places, of several views.

    The head is linear and without bias, so that this is a multinomial logistic regression.
    """
    base.restore()
    config, rng = base.config, np.random.default_rng(seed)
    shown = [photos.images]
    shown += [augment(photos, SHOP_AUGMENTATION, rng) for _ in range(config.views)]
    features = np.concatenate([embedding_of(base.network, each) for each in shown])
    targets = smoothed(np.tile(photos.labels, len(shown)), config.label_smoothing)
    kept = embedding_of(base.network, base.replay.images[: len(features)])
    layer = base.network.get_layer("class_maps")
    kernel = np.asarray(layer.kernel, np.float64)
    start = kernel.reshape(-1, len(LABELS))

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = flat.reshape(start.shape)
        shop = cross_entropy(features, targets, weights)
        replay = cross_entropy(kept, base.replay_targets[: len(kept)], weights)
        away = weights - start
        value = shop[0] + replay[0] + config.head_anchor * float((away**2).sum())
        return value, (shop[1] + replay[1] + 2 * config.head_anchor * away).ravel()

    fitted = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 200})
    layer.kernel.assign(fitted.x.reshape(kernel.shape).astype(np.float32))
    stay_near(base)


def fit_network(base: Base, photos: Split, seed: int) -> None:
    """Train every layer at a small rate, each step on photos and Fashion-MNIST together.

    Batch norm keeps the base's statistics: a few hundred photos make poor ones.
    """
    base.restore()
    config = base.config
    steps = fine_tuning_steps(config, len(photos))
    keep_statistics(base.network)
    # Their scores are averaged, so that each sees its share of the gradient.
    peak = config.learning_rate * members(base.network)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=peak / 20,
        decay_steps=math.ceil(0.9 * steps),
        warmup_target=peak,
        warmup_steps=max(1, steps // 10),
    )
    base.network.compile(
        optimizer=keras.optimizers.SGD(
            schedule, momentum=0.9, nesterov=True, global_clipnorm=config.gradient_norm_max
        ),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    keras.utils.set_random_seed(seed)
    base.network.fit(ShopBatches(base, photos, steps, seed), epochs=1, verbose=0, shuffle=False)
    stay_near(base)


def members(network: keras.Model) -> int:
    """How many trained networks were joined in this one; 1 for a network of its own."""
    return max(1, sum(isinstance(layer, keras.Model) for layer in network.layers))


def keep_statistics(network: keras.Model) -> None:
    """Freeze batch norm, in the networks inside it too."""
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            keep_statistics(layer)
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False


LEARNERS: dict[str, Learner] = {"base": fit_nothing, "head": fit_head, "network": fit_network}


class ShopBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """`steps` batches of augmented photos and Fashion-MNIST images with soft targets."""

    def __init__(self, base: Base, photos: Split, steps: int, seed: int) -> None:
        super().__init__(workers=0)
        self._base, self._photos, self._steps, self._seed = base, photos, steps, seed
        rng = np.random.default_rng(seed)
        rounds = math.ceil(steps * base.config.shop_batch / len(photos))
        # Every photo has had its turn before one has its next.
        self._order = np.concatenate([rng.permutation(len(photos)) for _ in range(rounds)])

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, index: int) -> WeightedBatch:
        config, base = self._base.config, self._base
        rng = np.random.default_rng([self._seed, index])
        shop = self._photos.take(self._order[index * config.shop_batch :][: config.shop_batch])
        drawn = rng.integers(0, len(base.replay), config.replay_batch)
        replay = base.replay.take(drawn)
        images = [
            augment(shop, SHOP_AUGMENTATION, rng),
            augment(replay, REPLAY_AUGMENTATION, rng),
        ]
        targets = [smoothed(shop.labels, config.label_smoothing), base.replay_targets[drawn]]
        weights = np.repeat([1.0, config.replay_weight], [len(shop), len(replay)])
        return (
            np.concatenate(images).astype(np.float32),
            np.concatenate(targets),
            (weights / weights.mean()).astype(np.float32),
        )


def stay_near(base: Base) -> None:
    """Go back towards the base, as far as it takes to keep its Fashion-MNIST accuracy.

    Weights between a network and its fine-tuned self make good networks too (Wortsman et al.
    2022, arXiv 2109.01903).
    """
    learned = base.network.get_weights()
    if not all(np.isfinite(weight).all() for weight in learned):
        base.restore()  # nothing lies between a number and what is none
        return
    least = base.held_out_accuracy - base.config.forgetting_max
    for step in range(base.config.forgetting_steps + 1):
        share = 1 - step / base.config.forgetting_steps
        between = [
            (1 - share) * old + share * new for old, new in zip(base.weights, learned, strict=True)
        ]
        base.network.set_weights(between)
        if accuracy(base.network, base.held_out) >= least:
            return


def fine_tuning_steps(config: FineTuningConfig, photos: int) -> int:
    """More photos, more steps, within bounds."""
    return int(np.clip(photos * config.steps_per_photo, config.steps_min, config.steps_max))


def cross_entropy(
    features: NDArray[np.float32], targets: NDArray[np.float32], weights: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """Mean cross-entropy (nats) of a linear head without bias, and its gradient (d, 10)."""
    logits = features @ weights
    said = softmax(logits)
    loss = -float((targets * np.log(np.maximum(said, 1e-12))).sum(axis=1).mean())
    return loss, features.T @ (said - targets) / len(features)


def smoothed(labels: NDArray[np.int64], smoothing: float) -> NDArray[np.float32]:
    """One-hot labels with a share of `smoothing` spread over all classes, float32 (N, 10)."""
    return ((1 - smoothing) * one_hot(labels) + smoothing / len(LABELS)).astype(np.float32)


def embedding_of(network: keras.Model, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The last features averaged over their places, float32 (N, d)."""
    features = network.get_layer("features").output
    pooled = keras.layers.GlobalAveragePooling2D()(features)
    return logits_of(keras.Model(network.input, pooled), images)
