"""Photo → model input as a bundle names it: the version of the steps, and their constants."""

from collections.abc import Mapping
from types import ModuleType

from catalog.images import cutout, model_input, wearer

# Whoever shows a picture to a network decodes it towards this longest edge, as whoever trained it
# did: a picture that was decoded larger is reduced otherwise, and some change their label by it.
DECODE_PX = 256
STEPS: tuple[ModuleType, ...] = (cutout, wearer, model_input)


def preprocessing_parameters() -> Mapping[str, float]:
    """The numbers that decide what becomes of a photo, by `module.constant`."""
    steps = {
        f"{module.__name__.rpartition('.')[2]}.{name.lower()}": value
        for module in STEPS
        for name, value in sorted(vars(module).items())
        if name.isupper() and isinstance(value, int | float)
    }
    return {"decode.size_px_min": DECODE_PX, **steps}
