"""Train a photo network: one cycle of AdamW, averaged weights, resumable after every epoch."""

import json
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from catalog.images.photo_input import fitted
from trainer.photos.backbone import Backbone
from trainer.photos.data import PhotoSet
from trainer.photos.efficientnet_lite0 import lower_layers
from trainer.photos.garments import Garments
from trainer.photos.imagenet import word_kernels, words_of
from trainer.photos.network import (
    HeadShape,
    build_network,
    freeze,
    predict,
    set_words,
    spoken,
    word_counts,
)
from trainer.photos.recipe import PhotoRecipe
from trainer.photos.variation import finished, varied

CHECKPOINT = "checkpoint.npz"
LOG = "log.jsonl"
# Batches made ahead of the one that is learned from.
AHEAD = 4
# Of a category with fewer photos, each counts no more than of one with so many.
COUNTED_MIN = 100
# What a teacher finds likely beside its first word counts as well (Hinton et al. 2015).
MEMORY_TEMPERATURE = 2.0


@dataclass(frozen=True, kw_only=True)
class Batch:
    """pixels: uint8 (B, S, S, 3); targets: bool (B, C + 1); weights: float32 (B,)."""

    pixels: NDArray[np.uint8]
    targets: NDArray[np.bool_]
    weights: NDArray[np.float32]


def new_network(backbone: Backbone, labels: tuple[str, ...], recipe: PhotoRecipe) -> keras.Model:
    """A network that knows what its backbone brought along, and nothing more."""
    keras.utils.set_random_seed(recipe.seed)
    kernel = backbone.imagenet_kernel
    words = [0] * (len(labels) + 1) if kernel is None else [len(each) for each in words_of(labels)]
    head = HeadShape(words=tuple(words))
    network = build_network(backbone, recipe.side_px, head, recipe.dropout)
    backbone.start(network)
    if kernel is not None:
        set_words(network, word_kernels(labels, kernel))
    freeze(network, recipe.frozen_blocks)
    return network


def train(
    network: keras.Model,
    photos: PhotoSet,
    garments: Garments | None,
    recipe: PhotoRecipe,
    folder: Path,
    *,
    teacher: keras.Model | None = None,
    held_out: PhotoSet | None = None,
    until: int | None = None,
) -> None:
    """Learn from the photos; the network ends with its averaged weights.

    `teacher`: the network as it was before it learned; what it says in ImageNet's words goes on
    being asked for. None: nothing of the kind.

    Goes on after the last whole epoch that `folder` knows of. With `recipe.patience` it stops, and
    goes back to the best epoch, when the held-out photos gain no more. After the epoch `until` it
    is left, to be gone on with another time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    steps = steps_of(photos, garments, recipe)
    optimizer = _optimizer(recipe, steps)
    optimizer.build(network.trainable_variables)
    step = _step(network, optimizer, recipe, teacher, taught_words(network, photos))
    first = _resume(network, optimizer, folder)
    best, best_accuracy, since = None, -1.0, 0
    for epoch in range(first, until or recipe.epochs):
        started, losses = time.monotonic(), []
        made = _ahead(batches(photos, garments, recipe, epoch))
        for batch in tqdm(made, total=steps, desc=f"epoch {epoch + 1}", mininterval=5):
            losses.append(float(step(batch)))
        line = {"epoch": epoch + 1, "loss": float(np.mean(losses))}
        if held_out is not None and recipe.patience:
            with Averaged(network, optimizer):
                line["accuracy"] = accuracy(predict(network, inputs(held_out, recipe)), held_out)
            since = 0 if line["accuracy"] > best_accuracy else since + 1
            if not since:
                best_accuracy = line["accuracy"]
                with Averaged(network, optimizer):
                    best = network.get_weights()
        line["seconds"] = round(time.monotonic() - started, 1)
        with (folder / LOG).open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        _save(network, optimizer, folder, epoch + 1)
        if recipe.patience and since >= recipe.patience:
            break
    optimizer.finalize_variable_values(network.trainable_variables)
    if best is not None:
        network.set_weights(best)


def steps_of(photos: PhotoSet, garments: Garments | None, recipe: PhotoRecipe) -> int:
    """Batches an epoch."""
    count = len(photos) + (recipe.garments if garments else 0)
    return -(-count // recipe.batch_size)


def batches(
    photos: PhotoSet, garments: Garments | None, recipe: PhotoRecipe, epoch: int
) -> Iterator[Batch]:
    """One epoch: every photo once, varied, and the garments among them; the same for one seed."""
    rng = np.random.default_rng([recipe.seed, epoch])
    extra = recipe.garments if garments else 0
    order = rng.permutation(np.concatenate([np.arange(len(photos)), np.full(extra, -1)]))
    weights = class_weights(photos.targets, recipe)
    for start in range(0, len(order), recipe.batch_size):
        yield _batch(
            photos, garments, recipe, weights, order[start : start + recipe.batch_size], rng
        )


def class_weights(targets: NDArray[np.bool_], recipe: PhotoRecipe) -> NDArray[np.float32]:
    """The weight of a photo of each category, float32 (C + 1,), 1 on average over the photos."""
    counts = np.maximum(targets.sum(axis=0), COUNTED_MIN).astype(np.float64)
    weights = counts**-recipe.class_weight_power
    return np.asarray(weights * counts.sum() / (weights * counts).sum(), np.float32)


def inputs(photos: PhotoSet, recipe: PhotoRecipe) -> NDArray[np.uint8]:
    """Photos as they are served, uint8 (N, S, S, 3)."""
    return np.stack([fitted(photo, recipe.side_px) for photo in photos.pixels])


def accuracy(scores: NDArray[np.float32], photos: PhotoSet) -> float:
    """The share of photos of a category that are named rightly, 0-1; strangers do not count."""
    known = ~photos.strange
    named = scores[known, :-1].argmax(axis=1)
    return float(photos.targets[known][np.arange(len(named)), named].mean()) if len(named) else 0.0


class Averaged:
    """Inside, the network has its averaged weights."""

    def __init__(self, network: keras.Model, optimizer: Any) -> None:
        self._network, self._optimizer = network, optimizer

    def __enter__(self) -> None:
        self._before = [variable.numpy() for variable in self._network.trainable_variables]
        self._optimizer.finalize_variable_values(self._network.trainable_variables)

    def __exit__(self, *error: object) -> None:
        for variable, value in zip(self._network.trainable_variables, self._before, strict=True):
            variable.assign(value)


def _batch(
    photos: PhotoSet,
    garments: Garments | None,
    recipe: PhotoRecipe,
    weights: NDArray[np.float32],
    chosen: NDArray[np.int64],
    rng: np.random.Generator,
) -> Batch:
    pixels = np.empty((len(chosen), recipe.side_px, recipe.side_px, 3), np.uint8)
    targets = np.zeros((len(chosen), photos.targets.shape[1]), np.bool_)
    counted = np.ones(len(chosen), np.float32)
    for row, index in enumerate(chosen):
        if index >= 0:
            pixels[row] = varied(photos, int(index), recipe, rng)
            targets[row] = photos.targets[index]
            counted[row] = 1 if photos.weights is None else photos.weights[index]
        else:
            assert garments is not None
            photo, category = garments.draw(photos, rng)
            pixels[row] = finished(photo, recipe, rng)
            targets[row, category] = True
    share = targets / targets.sum(axis=1, keepdims=True)
    return Batch(
        pixels=pixels, targets=targets, weights=(counted * (share @ weights)).astype(np.float32)
    )


def _ahead(made: Iterator[Batch]) -> Iterator[Batch]:
    """The same batches, made by a thread while the network learns from earlier ones."""
    with ThreadPoolExecutor(1) as pool:
        waiting = [pool.submit(next, made, None) for _ in range(AHEAD)]
        while (batch := waiting.pop(0).result()) is not None:
            waiting.append(pool.submit(next, made, None))
            yield batch


def _optimizer(recipe: PhotoRecipe, steps: int) -> Any:
    total = max(1, steps * recipe.epochs)
    warm = max(1, round(total * recipe.warm_up_share))
    rate = keras.optimizers.schedules.CosineDecay(
        recipe.learning_rate / 10,
        decay_steps=max(1, total - warm),
        alpha=0.01,
        warmup_target=recipe.learning_rate,
        warmup_steps=warm,
    )
    return keras.optimizers.AdamW(
        rate,
        weight_decay=recipe.weight_decay,
        global_clipnorm=5.0,
        use_ema=True,
        ema_momentum=recipe.ema_momentum,
    )


def _step(
    network: keras.Model,
    optimizer: Any,
    recipe: PhotoRecipe,
    teacher: keras.Model | None,
    taught: NDArray[np.bool_],
) -> Any:
    import tensorflow as tf

    words = spoken(network)
    recalls = teacher is not None and words is not None and recipe.memory_weight > 0
    lower, upper = split(network, {"scores": network.output, "words": words}, recipe)
    recalled = split(teacher, {"words": spoken(teacher)}, recipe)[1] if recalls else None

    def learn(pixels: Any, targets: Any, weights: Any) -> Any:
        seen = lower(pixels, training=False)
        with tf.GradientTape() as tape:
            said = upper(seen, training=True)
            loss = tf.reduce_mean(
                weights * any_of_loss(said["scores"], targets, recipe.label_smoothing)
            )
            if recalled is not None:
                told = recalled(seen, training=False)["words"]
                loss += recipe.memory_weight * tf.reduce_mean(
                    memory_loss(said["words"], told, taught)
                )
        variables = network.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    compiled = tf.function(learn, reduce_retracing=True)

    def step(batch: Batch) -> Any:
        return compiled(
            tf.constant(batch.pixels, tf.float32),
            tf.constant(batch.targets, tf.float32),
            tf.constant(batch.weights),
        )

    return step


def any_of_loss(scores: Any, targets: Any, smoothing: float) -> Any:
    """Minus the log of the share that all allowed categories have together, (B,).

    With one allowed category it is the cross entropy. Smoothing spreads a part of the wish over
    all of them.
    """
    ops = keras.ops
    log_share = ops.log_softmax(scores, axis=-1)
    allowed = ops.logsumexp(ops.where(targets > 0, log_share, -1e9), axis=-1)
    return -(1 - smoothing) * allowed - smoothing * ops.mean(log_share, axis=-1)


def taught_words(network: keras.Model, photos: PhotoSet) -> NDArray[np.bool_]:
    """Which of a network's words are of categories that the photos surely show, bool (W,)."""
    shown = photos.targets[photos.targets.sum(axis=1) == 1].sum(axis=0) >= COUNTED_MIN
    shown[-1] = False  # no photos show all that is strange
    return np.repeat(shown, word_counts(network))


def split(network: keras.Model, outputs: Mapping[str, Any], recipe: PhotoRecipe) -> tuple[Any, Any]:
    """A network's frozen lower part, images → tensor, and the rest, tensor → outputs."""
    outputs = {name: each for name, each in outputs.items() if each is not None}
    below = lower_layers(network, recipe.frozen_blocks)
    if not below:
        return lambda images, training: images, keras.Model(network.input, outputs)
    border = below[-1].output
    return keras.Model(network.input, border), keras.Model(border, outputs)


def memory_loss(words: Any, told: Any, taught: NDArray[np.bool_]) -> Any:
    """How far the words' shares are from what the teacher told, in nats, (B,).

    words, told: (B, W). taught: bool (W,), the words of categories that photos teach: how they
    share what they have together is the photos' to say.
    """
    ops = keras.ops
    ours, theirs = (_together(each / MEMORY_TEMPERATURE, taught) for each in (words, told))
    share = ops.softmax(theirs, axis=-1)
    gap = ops.log_softmax(theirs, axis=-1) - ops.log_softmax(ours, axis=-1)
    return MEMORY_TEMPERATURE**2 * ops.sum(share * gap, axis=-1)


def _together(words: Any, taught: NDArray[np.bool_]) -> Any:
    """Scores (B, W) with those of the taught words made one."""
    ops = keras.ops
    if not taught.any():
        return words
    others = ops.take(words, np.flatnonzero(~taught), axis=-1)
    all_taught = ops.take(words, np.flatnonzero(taught), axis=-1)
    return ops.concatenate([others, ops.logsumexp(all_taught, axis=-1, keepdims=True)], axis=-1)


def _save(network: keras.Model, optimizer: Any, folder: Path, epoch: int) -> None:
    """Keep all state, dropout's chance with it, so that a resumed training is the same one."""
    aside = folder / f"new-{CHECKPOINT}"
    values = [np.asarray(each) for each in (*network.variables, *optimizer.variables)]
    np.savez(aside, allow_pickle=False, epoch=np.array(epoch), **_numbered(values))
    aside.replace(folder / CHECKPOINT)


def _numbered(values: list[NDArray[Any]]) -> dict[str, Any]:
    return {f"value{number}": value for number, value in enumerate(values)}


def _resume(network: keras.Model, optimizer: Any, folder: Path) -> int:
    """The first epoch that is still to be done; the state is as it was after the one before."""
    path = folder / CHECKPOINT
    if not path.is_file():
        return 0
    with np.load(path, allow_pickle=False) as stored:
        variables = [*network.variables, *optimizer.variables]
        for number, variable in enumerate(variables):
            variable.assign(stored[f"value{number}"])
        return int(stored["epoch"])


def fold_recipe(recipe: PhotoRecipe, number: int) -> PhotoRecipe:
    """The recipe of one fold: its own chance."""
    return replace(recipe, seed=recipe.seed + 1 + number)
