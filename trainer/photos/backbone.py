"""Where the photo network's features come from: `--backbone`.

A file of `python -m trainer.photos.import_backbone`, a bundle (its photo network's own weights), a
name of keras.applications, a .keras file of the shop's own, or `none` for a small network that
starts from nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from catalog.bundle import sha256_file
from catalog.errors import OperatorError
from trainer.photos import efficientnet_lite0
from trainer.photos.import_backbone import reference_images

# The copy's features may differ from the original's by this much.
FEATURES_GAP_MAX = 1e-4
# Of keras.applications: what scales its pixels itself, and what wants them from -1 to 1.
SCALES_ITSELF = ("EfficientNet", "MobileNetV3", "ConvNeXt")
FROM_MINUS_ONE = ("MobileNet", "Xception", "Inception", "NASNet", "ResNet50V2", "ResNet101V2")


class BackboneError(OperatorError):
    """A backbone that cannot be had: says what was expected, what was found, what to do."""


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """Features for a head to be trained on.

    build: images → features (N, h, w, F), as layers. about: name, origin, licence, sha256, as the
    manifest and the model card say them. weights: by `layer/weight`, for EfficientNet-Lite0.
    imagenet_kernel: ImageNet's own head, float32 (F, 1000), where it came along.
    """

    about: Mapping[str, str]
    build: Callable[[Any], Any]
    weights: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    imagenet_kernel: NDArray[np.float32] | None = None

    def start(self, network: keras.Model) -> None:
        """Put the backbone's own weights into a network built on it."""
        if self.weights:
            efficientnet_lite0.set_weights(network, self.weights)


def find_backbone(name: str) -> Backbone:
    """The backbone that `--backbone` means.

    Raises:
        BackboneError: there is none of that name, or it does not compute what its original does.
    """
    path = Path(name)
    if name == "none":
        return Backbone(
            about={"name": "none", "origin": "trained from nothing", "licence": "", "sha256": ""},
            build=small_features,
        )
    if path.suffix == ".npz" and path.is_file():
        return read_backbone(path)
    if path.suffix == ".keras" and path.is_file():
        return _own(path)
    if hasattr(keras.applications, name) and callable(getattr(keras.applications, name)):
        return _application(name)
    raise BackboneError(
        f"Expected a backbone file, a name of keras.applications or `none`, found {name!r}. "
        "`python -m trainer.photos.import_backbone FILE.npz` makes the file of EfficientNet-Lite0."
    )


def read_backbone(path: Path) -> Backbone:
    """EfficientNet-Lite0 from its file, held against the original's own features.

    Raises:
        BackboneError: the file is another's, or the copy's features are further off than rounding.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
        about = {
            key: str(arrays[f"about/{key}"]) for key in ("name", "origin", "licence", "sha256")
        }
        reference = arrays["reference/features"]
    except (OSError, ValueError, KeyError) as error:
        raise BackboneError(
            f"Expected a file of trainer.photos.import_backbone in {path}, found: {error}. "
            "Make it again."
        ) from error
    backbone = Backbone(
        about=about,
        build=efficientnet_lite0.build,
        weights=arrays,
        imagenet_kernel=arrays["imagenet/kernel"],
    )
    gap = float(np.abs(features_of(backbone, reference_images()) - reference).max())
    if not gap <= FEATURES_GAP_MAX:
        raise BackboneError(
            f"Expected features within {FEATURES_GAP_MAX} of the original's, found {gap:.2g}. "
            "Make the file again; compare the libraries' versions."
        )
    return backbone


def features_of(backbone: Backbone, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The backbone's own features of uint8 (N, S, S, 3), float32 (N, h, w, F)."""
    inputs = keras.Input(images.shape[1:])
    model = keras.Model(inputs, backbone.build(inputs))
    backbone.start(model)
    return np.asarray(model(images.astype(np.float32), training=False), np.float32)


def small_features(images: Any) -> Any:
    """A few convolutions, for a shop with very many photos, and for tests."""
    x = layers.Rescaling(1 / 128, offset=-1.0, name="scale")(images)
    for number, channels in enumerate((16, 32, 64, 64)):
        x = layers.Conv2D(
            channels, 3, strides=2, padding="same", use_bias=False, name=f"small{number}_conv"
        )(x)
        x = layers.GroupNormalization(8, name=f"small{number}_norm")(x)
        x = layers.ReLU(name=f"small{number}_relu")(x)
    return x


def _application(name: str) -> Backbone:
    if name.startswith(SCALES_ITSELF):
        scaling = None
    elif name.startswith(FROM_MINUS_ONE):
        scaling = layers.Rescaling(1 / 127.5, offset=-1.0, name="scale")
    else:
        raise BackboneError(
            f"Expected a network of keras.applications that takes pixels as they are or from -1 to "
            f"1 ({', '.join((*SCALES_ITSELF, *FROM_MINUS_ONE))}), found {name!r}. Save it with its "
            "scaling as a .keras file and name that."
        )

    def build(images: Any) -> Any:
        make = getattr(keras.applications, name)
        model = make(include_top=False, weights="imagenet", input_shape=images.shape[1:])
        return model(images if scaling is None else scaling(images))

    return Backbone(
        about={"name": name, "origin": "keras.applications", "licence": "Apache-2.0", "sha256": ""},
        build=build,
    )


def _own(path: Path) -> Backbone:
    model = keras.models.load_model(path, compile=False)
    about = {
        "name": path.name, "origin": "a file of one's own", "licence": "",
        "sha256": sha256_file(path),
    }  # fmt: skip
    if efficientnet_lite0.backbone_layers(model):
        # A photo network that was trained before: its layers stay to be frozen one by one.
        weights = efficientnet_lite0.weights_of(model)
        return Backbone(about=about, build=efficientnet_lite0.build, weights=weights)
    names = [layer.name for layer in model.layers]
    features = model.get_layer("features").output if "features" in names else model.output

    def build(images: Any) -> Any:
        return keras.Model(model.input, features)(images)

    return Backbone(about=about, build=build)
