"""The training recipe: every hyperparameter in one frozen record, saved with the run."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from catalog.errors import OperatorError
from trainer.fashion_mnist.mixing import MIXES

FLOAT32 = "float32"
BFLOAT16 = "bfloat16"
PRECISIONS = (FLOAT32, BFLOAT16)
AUTO = "auto"  # the faster of both on this machine: see precision.py


class ConfigError(OperatorError):
    """A recipe that cannot be trained: names the field, its value and what was expected."""


@dataclass(frozen=True, kw_only=True)
class PhotoLookConfig:
    """What happens to a garment that is made to look like a photo: see photo_look.py.

    Shares are the probability per image, 0-1. Prints were tried too: with stripes and checks on
    everything, a checked shirt was no longer told from a pullover.
    """

    tone_share: float = 0.3  # dark garments for light ones, flat for contrasted
    stacked_share: float = 0.35  # of tops have trousers below them
    sleeveless_share: float = 0.15  # of tops lose their sleeves to the cut-out
    hem_share: float = 0.2  # of trousers have the hem of a top above them
    legs_share: float = 0.25  # of dresses have bare legs below them
    tilt_share: float = 0.35  # seen or laid down at an angle
    fray_share: float = 0.15  # an outline a pixel too wide or too narrow
    bite_share: float = 0.1  # parts taken for background
    residue_share: float = 0.15  # background taken for garment
    background_share: float = 0.03  # a cut-out that failed
    refit_share: float = 0.7  # other proportions
    sharpness_share: float = 0.4


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig:
    """How training images are varied; shares are the probability per image, 0-1."""

    photo_share: float = 0.2  # made to look like photos (photo_look.py); the rest:
    flip_share: float = 0.5  # left-right: half of all garments could have lain the other way
    gentle_share: float = 0.5  # of images get the small changes of pose that follow
    shift_px_max: float = 1.5
    crop_px: int = 0  # of empty border before a random crop to 28×28, of every image
    scale_max: float = 0.08  # 0.08: between 92 % and 108 %, each axis by its own
    rotation_deg_max: float = 6.0
    shear_max: float = 0.06
    pose_share: float = 0.02  # the same at `pose_strength` times the size
    pose_strength: float = 5.0
    turn_share: float = 0.03  # quarter turns and upside down
    tone_share: float = 0.03  # brightness, contrast, gamma, inversion
    noise_share: float = 0.04  # Gaussian, shot or impulse noise
    blur_share: float = 0.04  # Gaussian, motion or glass blur
    erase_share: float = 0.1  # random erasing (Zhong et al. 2017, arXiv 1708.04896)
    photo_look: PhotoLookConfig = field(default_factory=PhotoLookConfig)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One run of `tagger train`."""

    preset: str
    epochs: int
    batch_size: int = 128
    seed: int = 0
    learning_rate: float = 0.1  # peak; SGD with Nesterov momentum, for batches of 128
    momentum: float = 0.9
    # Of convolution kernels only, and apart from the momentum, as Keras takes it: a tenth of what
    # PyTorch's SGD does with the same number at a momentum of 0.9.
    weight_decay: float = 5e-4
    warmup_share: float = 0.12  # of all steps; afterwards cosine decay to zero
    label_smoothing: float = 0.0
    ema_momentum: float = 0.998  # moving average of the weights, which is what ships
    patience: int | None = None  # epochs without a better validation accuracy; None: never stop
    precision: str = FLOAT32  # of the training steps' arithmetic; weights stay float32
    stem_channels: int = 48
    stem_stride: int = 2  # 2 halves the picture at once; 1 sees all of it, at 2 to 3 times the cost
    widths: tuple[int, ...] = (64, 128)  # channels of each stage; each later stage halves the size
    blocks: int = 2  # residual blocks in a stage
    validation_share: float = 1 / 12  # 5,000 of 60,000
    distillation_share: float = 0.7  # weight of the teacher's word, where there is a teacher
    distillation_temperature: float = 2.0
    mix: str | None = None  # cutmix or mixup: see mixing.py
    mix_share: float = 0.5  # of batches are mixed
    rest_share: float = 0.0  # of easy images that rests in an epoch: see easy_images.py
    train_images_max: int | None = None  # for tests and smoke runs
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


# Flipped and moved a little, and nothing else.
PLAIN = AugmentationConfig(
    photo_share=0.0,
    pose_share=0.0,
    turn_share=0.0,
    tone_share=0.0,
    noise_share=0.0,
    blur_share=0.0,
    erase_share=0.0,
)
# Few epochs are better spent on pictures as they are.
GENTLE = replace(PLAIN, photo_share=0.15, gentle_share=0.3)

# As papers vary Fashion-MNIST, and a little of what shops' systems do to pictures.
ERASED = AugmentationConfig(
    photo_share=0.0,
    gentle_share=0.2,
    crop_px=3,
    pose_share=0.01,
    turn_share=0.01,
    tone_share=0.02,
    noise_share=0.02,
    blur_share=0.02,
    erase_share=0.5,
)

PRESETS: Mapping[str, TrainConfig] = {
    # A usable model in under 15 minutes.
    "quick": TrainConfig(
        preset="quick",
        epochs=5,
        label_smoothing=0.05,
        stem_channels=32,
        widths=(40, 80),
        ema_momentum=0.99,
        augmentation=GENTLE,
    ),
    # Each network of the shipped bundle, but for the seed: docs/MODEL_CARD.md.
    "standard": TrainConfig(
        preset="standard",
        epochs=50,
        weight_decay=2e-3,
        stem_channels=16,
        stem_stride=1,
        widths=(16, 48, 96),
        augmentation=ERASED,
    ),
}


def preset(name: str, **changes: Any) -> TrainConfig:
    """The preset `name` with the given fields changed.

    Raises:
        ConfigError: there is no such preset, or a value is out of its range.
    """
    if name not in PRESETS:
        raise ConfigError(f"Expected a preset of {sorted(PRESETS)}, found {name!r}.")
    return checked(replace(PRESETS[name], **changes))


def checked(config: TrainConfig) -> TrainConfig:
    """The same config.

    Raises:
        ConfigError: a value is out of its range.
    """
    if config.mix is not None and config.mix not in MIXES:
        raise ConfigError(f"Expected mix to be one of {sorted(MIXES)}, found {config.mix!r}.")
    if config.precision not in PRECISIONS:
        raise ConfigError(
            f"Expected precision to be one of {PRECISIONS}, found {config.precision!r}."
        )
    if config.stem_stride not in (1, 2):
        raise ConfigError(f"Expected stem_stride of 1 or 2, found {config.stem_stride}.")
    if not 0 <= config.rest_share < 1:
        raise ConfigError(
            f"Expected rest_share of 0 or more and below 1, found {config.rest_share}."
        )
    if config.rest_share and config.mix is not None:
        raise ConfigError(
            "Expected either rest_share or mix: a mixed image has no weight of its own."
        )
    for field_name, least in (("epochs", 1), ("batch_size", 1), ("blocks", 1)):
        if getattr(config, field_name) < least:
            raise ConfigError(
                f"Expected {field_name} of {least} or more, found {getattr(config, field_name)}."
            )
    return config


def with_setting(config: TrainConfig, setting: str) -> TrainConfig:
    """The config with one field changed by `name=value`, the value as JSON or plain text.

    Fields of the augmentation are named `augmentation.photo_share` and so on.

    Raises:
        ConfigError: there is no such field, or the value is of another type.
    """
    name, _, text = setting.partition("=")
    fields = config.to_dict()
    *groups, last = name.split(".")
    place = fields
    for group in groups:
        place = place.get(group) or {}
    if not isinstance(place, dict) or last not in place or isinstance(place[last], dict):
        raise ConfigError(f"Expected name=value with a field of the recipe, found {setting!r}.")
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    before = place[last]
    if isinstance(before, float) and isinstance(value, int):
        value = float(value)
    if before is not None and type(value) is not type(before) and not isinstance(before, tuple):
        raise ConfigError(f"Expected {name} to be like {before!r}, found {text!r}.")
    place[last] = value
    return checked(from_dict(fields))


def from_dict(fields: Mapping[str, Any]) -> TrainConfig:
    """The inverse of TrainConfig.to_dict.

    Raises:
        ConfigError: a field is missing or unknown.
    """
    try:
        augmentation = AugmentationConfig(
            **{
                **fields["augmentation"],
                "photo_look": PhotoLookConfig(**fields["augmentation"].get("photo_look", {})),
            }
        )
        return TrainConfig(
            **{**fields, "augmentation": augmentation, "widths": tuple(fields["widths"])}
        )
    except (KeyError, TypeError) as error:
        raise ConfigError(f"Expected the fields of a training config; {error}.") from error
