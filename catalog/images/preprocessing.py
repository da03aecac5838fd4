"""Photo → model input as a bundle names it: the version of the steps, and their constants."""

from collections.abc import Mapping
from types import ModuleType

from catalog.images import cutout, model_input, wearer

STEPS: tuple[ModuleType, ...] = (cutout, wearer, model_input)


def preprocessing_parameters() -> Mapping[str, float]:
    """The numbers that decide what becomes of a photo, by `module.constant`."""
    return {
        f"{module.__name__.rpartition('.')[2]}.{name.lower()}": value
        for module in STEPS
        for name, value in sorted(vars(module).items())
        if name.isupper() and isinstance(value, int | float)
    }
