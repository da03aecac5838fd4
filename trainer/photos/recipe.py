"""What a training of the photo network may be told: one frozen record, saved with the run."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from catalog.errors import OperatorError


class RecipeError(OperatorError):
    """A setting that the recipe does not have, or a value that it cannot take."""


@dataclass(frozen=True, kw_only=True)
class PhotoRecipe:
    """Every setting of a training.

    The pixels of the lower blocks cost half of a step and know edges and cloth already, so that
    they stay as ImageNet left them, and so do all batch norms: a few thousand photos give worse
    statistics than a million.
    """

    side_px: int = 160
    epochs: int = 6
    batch_size: int = 32
    learning_rate: float = 5e-4  # peak of one cycle, AdamW
    warm_up_share: float = 0.15
    weight_decay: float = 0.05  # kernels only: nothing else is trained
    label_smoothing: float = 0.08
    class_weight_power: float = 0.25  # weight of a class of n photos: n to minus this power
    dropout: float = 0.2
    memory_weight: float = 0.1  # of what ImageNet's words say of each picture, in the loss
    frozen_blocks: int = 5  # of the backbone's 16, with the stem before them
    ema_momentum: float = 0.99
    # Fashion-MNIST pictures an epoch, tinted, beside the photos, where the categories are its own.
    garments: int = 1_500
    folds: int = 3  # over groups; rule and temperature are fitted out of fold
    patience: int = 0  # epochs without gain before it stops; 0: goes on to the end
    seed: int = 0
    # How far photos are varied.
    rotation_rad: float = 0.2
    scale_min: float = 0.75
    scale_max: float = 1.15
    shift_share: float = 0.08
    background_share: float = 0.5  # of photos whose garment is cut out onto another background
    erase_share: float = 0.3
    blur_share: float = 0.2

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)


def with_setting(recipe: PhotoRecipe, setting: str) -> PhotoRecipe:
    """The recipe with one field as `name=value` says.

    Raises:
        RecipeError: there is no such field, or the value is of another type.
    """
    name, _, text = setting.partition("=")
    kinds = {field.name: type(getattr(recipe, field.name)) for field in fields(recipe)}
    if name not in kinds:
        raise RecipeError(
            f"Expected one of {', '.join(kinds)} in --set, found {name!r}. Write name=value."
        )
    try:
        return replace(recipe, **{name: kinds[name](text)})
    except ValueError as error:
        raise RecipeError(
            f"Expected {name}={kinds[name].__name__} in --set, found {text!r}."
        ) from error
