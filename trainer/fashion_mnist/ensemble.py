"""Several trained networks, and their view in the mirror, as one network that ships."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from trainer.fashion_mnist.classes import LABELS
from trainer.fashion_mnist.config import ConfigError
from trainer.fashion_mnist.network import INPUT_SHAPE, accuracy, difference_from_background
from trainer.fashion_mnist.train import Run, load_run


def joined_run(folders: Sequence[Path], data_folder: Path, *, mirrored: bool, verify: bool) -> Run:
    """Finished runs as one, ready to be published; its config and log are the first run's.

    Raises:
        ConfigError: a run is not finished, or was validated on other images than the first.
    """
    runs = [load_run(folder, data_folder, verify=verify) for folder in folders]
    first = runs[0]
    for run in runs[1:]:
        if run.config.validation_share != first.config.validation_share:
            raise ConfigError(
                "Expected runs that held out the same images, found a validation_share of "
                f"{run.config.validation_share} in {run.folder} and of "
                f"{first.config.validation_share} in {first.folder}."
            )
    network = join([run.network for run in runs], mirrored=mirrored)
    summary = {
        "parameters": network.count_params(),
        "mirrored": mirrored,
        "validation_accuracy": accuracy(network, first.validation),
        "members": [{"config": run.config.to_dict(), "summary": run.summary} for run in runs],
    }
    return Run(
        folder=first.folder,
        config=first.config,
        network=network,
        train=first.train,
        validation=first.validation,
        summary=summary,
    )


def join(networks: Sequence[keras.Model], *, mirrored: bool) -> keras.Model:
    """One network whose class scores are the mean of those of `networks`, float32 (N, 10).

    Their features stand beside each other before one 1×1 convolution to the classes, so that
    logits = mean over h, w of class_maps still holds. mirrored: each network also looks at the
    mirror image, with the same weights, and its features are the mean of both views.
    """
    images = keras.Input(INPUT_SHAPE, name="images")
    x = difference_from_background(layers.Rescaling(1 / 255, name="scale")(images))
    trunks = [_trunk(network, f"member{n}") for n, network in enumerate(networks, start=1)]
    seen = [_both_ways(trunk, x) if mirrored else trunk(x) for trunk in trunks]
    together = seen[0] if len(seen) == 1 else layers.Concatenate(name="members")(seen)
    features = layers.Activation("linear", name="features")(together)
    head = layers.Conv2D(len(LABELS), 1, use_bias=False, name="class_maps")
    logits = layers.GlobalAveragePooling2D(name="logits")(head(features))
    kernels = [np.asarray(network.get_layer("class_maps").kernel) for network in networks]
    head.kernel.assign(np.concatenate(kernels, axis=2) / len(networks))
    return keras.Model(images, logits, name="tagger")


def _trunk(network: keras.Model, name: str) -> keras.Model:
    """From the distance to the background to the features, in layers named after the member.

    On PyTorch Keras finds variables by their paths: of two that share one path, the gradient of
    the first is never set back, and fine-tuning sums it up over the steps.
    """
    trunk = keras.Model(
        network.get_layer("stem_conv").input, network.get_layer("features").output, name=name
    )

    def named(layer: keras.Layer) -> keras.Layer:
        return type(layer).from_config(layer.get_config() | {"name": f"{name}_{layer.name}"})

    own = keras.models.clone_model(trunk, clone_function=named)
    own.set_weights(trunk.get_weights())
    return own


def _both_ways(trunk: keras.Model, x: Any) -> Any:
    mirrored = keras.ops.flip(trunk(keras.ops.flip(x, axis=2)), axis=2)
    return layers.Average(name=f"{trunk.name}_both_ways")([trunk(x), mirrored])
