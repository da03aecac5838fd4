"""Picture → model input as a bundle names it: the version of the steps, and their constants."""

from types import ModuleType

from catalog.images import cutout, model_input, photo_input, wearer
from catalog.images.model_input import PREPROCESSING
from catalog.images.photo_input import PHOTO_PREPROCESSING
from catalog.networks import NetworkName, Preprocessing

# Whoever shows a picture to a network decodes it towards this longest edge, as whoever trained it
# did: a picture that was decoded larger is reduced otherwise, and some change their label by it.
DECODE_PX = photo_input.DECODE_PX

_NAMES = {NetworkName.REDUCED: PREPROCESSING, NetworkName.PHOTO: PHOTO_PREPROCESSING}
_STEPS: dict[NetworkName, tuple[ModuleType, ...]] = {
    NetworkName.REDUCED: (cutout, wearer, model_input),
    NetworkName.PHOTO: (photo_input,),
}
# What is said of the network in other words: its decoded size, and how large it may be.
_TOLD_ELSEWHERE = {"DECODE_PX", "SIDE_PX_MIN", "SIDE_PX_MAX"}


def preprocessing_of(name: NetworkName) -> Preprocessing:
    """The steps that this version takes for a network, with the numbers that decide what they do.

    The constants are named `module.constant`.
    """
    name = name.takes_input_of
    constants = {
        f"{module.__name__.rpartition('.')[2]}.{constant.lower()}": value
        for module in _STEPS[name]
        for constant, value in sorted(vars(module).items())
        if constant.isupper() and isinstance(value, int | float)
        if constant not in _TOLD_ELSEWHERE
    }
    return Preprocessing(name=_NAMES[name], decode_px=DECODE_PX, constants=constants)
