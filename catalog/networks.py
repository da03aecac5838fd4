"""What a bundle says of each of its networks: input, preprocessing, outputs, and its own rules."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

# For photos, where a bundle's 28×28 network says nothing of them.
CAUTIOUS_CONFIDENCE = 0.995
# One side of the input of the network for pictures that come reduced.
REDUCED_INPUT = (28, 28, 1)


class NetworkName(StrEnum):
    """The networks that a bundle may hold; the value is also the folder of its files."""

    REDUCED = "reduced"  # 28×28 grey, light garment on black: pictures that come reduced
    PHOTO = "photo"  # S×S in colour: photos
    CUTOUT = (
        "cutout"  # 28×28 grey: cut out of photos on plain backgrounds, to help the photo network
    )

    @property
    def spoken(self) -> str:
        """As people read it."""
        return {
            "reduced": "28×28 network",
            "photo": "photo network",
            "cutout": "28×28 network for cut-outs",
        }[self.value]

    @property
    def takes_input_of(self) -> "NetworkName":
        """The network whose input it takes; but for cut-outs its own."""
        return NetworkName.REDUCED if self is NetworkName.CUTOUT else self


class PictureKind(StrEnum):
    """What decides which network judges a picture."""

    REDUCED = "reduced"  # came as small as the 28×28 network's input
    PLAIN = "plain"  # a photo whose background has one colour
    BUSY = "busy"  # any other photo

    @property
    def is_photo(self) -> bool:
        """Whether it did not come reduced."""
        return self is not PictureKind.REDUCED


class Backgrounds(StrEnum):
    """Which photos a photo network judges where a 28×28 network is beside it."""

    ANY = "any"
    BUSY = "busy"  # those on a plain background are cut out for the 28×28 network


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """When a confidence is high enough to need no person.

    `confidence_min` maps each label, and parents of labels, to the lowest accepted confidence, 0-1
    (above 1: never accepted); a parent's confidence is the sum of its labels'. The thresholds were
    chosen on validation data so that accepted items are right with probability `precision` or
    more, and those of each single label with `class_precision` or more, by Clopper-Pearson bounds
    at `guarantee_level`. `class_precision`, or 0.95 if that is more, holds for what is certain as
    a parent only: see catalog/certainty.py.
    """

    confidence_min: Mapping[str, float]
    precision: float
    guarantee_level: float
    class_precision: float = 0.0


@dataclass(frozen=True, kw_only=True)
class OutOfTaxonomy:
    """How strange an image may look before it is flagged.

    `score` names the function of catalog.out_of_taxonomy (higher is stranger); `parameters` is
    the .npz file, in the network's folder, with what that function needs, or None.
    """

    score: str
    threshold: float
    parameters: str | None = None


@dataclass(frozen=True, kw_only=True)
class PhotoRule:
    """How the 28×28 network's word on photos is judged, until a shop's reviews have earned more.

    Apart from the rule for pictures that come reduced to the model input, as Fashion-MNIST does:
    what holds for those does not hold for photos. `temperature` is that of a photo's confidences,
    `out_of_taxonomy_threshold` the score above which a photo is flagged as strange.
    """

    temperature: float
    acceptance: Acceptance
    out_of_taxonomy_threshold: float


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """How the photo network and a 28×28 network together judge photos on plain backgrounds.

    That is the network for cut-outs, or where a bundle has none the one for reduced pictures. Their
    confidences, each at its network's own temperature, are multiplied with these powers; at
    the photo network's temperature the product is calibrated. The rule holds for such photos alone.
    """

    reduced_weight: float
    photo_weight: float
    acceptance: Acceptance
    out_of_taxonomy_threshold: float


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """The steps from picture to input: their name, and the numbers that decide what they do.

    `decode_px`: the longest edge that a picture is decoded towards before them.
    """

    name: str
    decode_px: int
    constants: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Network:
    """One network of a bundle.

    `input` is (height, width, channels) of one uint8 image, 0-255; `outputs` maps each output of
    the signature `serve` to the shape of one item. `temperature`, `acceptance` and
    `out_of_taxonomy` are for the pictures that the network was made for; `photos`, of the 28×28
    network only and possibly absent, is for photos: see photo_rule. `audit_share`: how many
    accepted pictures a person should see anyway, 0-1, as long as a shop's own reviews have not
    earned more trust; None: as many as the settings say. Of the photo network only: `backgrounds`,
    which photos it judges; `mixture`, how a 28×28 network helps it with plain ones; `backbone`,
    name, origin, licence and sha256 of the weights that training started from. `alike_min`: the
    cosine of two embeddings from which on both pictures are taken to show one category; None: that
    was never measured. `alike_apart`: the labels of which it could not be, so that pictures called
    so are taken for alike only among themselves.
    """

    input: tuple[int, ...]
    preprocessing: Preprocessing
    outputs: Mapping[str, tuple[int, ...]]
    temperature: float
    acceptance: Acceptance
    out_of_taxonomy: OutOfTaxonomy
    photos: PhotoRule | None = None
    audit_share: float | None = None
    backgrounds: Backgrounds = Backgrounds.ANY
    mixture: Mixture | None = None
    alike_min: float | None = None
    alike_apart: tuple[str, ...] = ()
    backbone: Mapping[str, Any] | None = None

    @property
    def photo_rule(self) -> PhotoRule:
        """The cautious rule for photos: the network's own, or one that accepts only the surest."""
        if self.photos is not None:
            return self.photos
        stricter = {
            label: max(least, CAUTIOUS_CONFIDENCE)
            for label, least in self.acceptance.confidence_min.items()
        }
        return PhotoRule(
            temperature=self.temperature,
            acceptance=replace(self.acceptance, confidence_min=stricter),
            out_of_taxonomy_threshold=self.out_of_taxonomy.threshold,
        )


def network_of(fields: Mapping[str, Any], name: NetworkName) -> Network:
    """A network from its part of the manifest.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: a field is missing or unusable.
    """
    shape = tuple(int(side) for side in fields["input"])
    _require_input(shape, name)
    share = fields.get("audit_share")
    if share is not None and not 0 <= float(share) <= 1:
        raise ValueError(f"audit_share {share} of {name}")
    return Network(
        input=shape,
        preprocessing=Preprocessing(**fields["preprocessing"]),
        outputs={output: tuple(each) for output, each in fields["outputs"].items()},
        temperature=_temperature(fields["temperature"], name),
        acceptance=Acceptance(**fields["acceptance"]),
        out_of_taxonomy=_out_of_taxonomy(fields["out_of_taxonomy"]),
        photos=_photo_rule(fields.get("photos"), name),
        audit_share=None if share is None else float(share),
        backgrounds=_backgrounds(fields.get("backgrounds"), name),
        mixture=_mixture(fields.get("mixture"), name),
        alike_min=_cosine(fields.get("alike_min")),
        alike_apart=tuple(str(label) for label in fields.get("alike_apart") or ()),
        backbone=fields.get("backbone"),
    )


def _require_input(shape: tuple[int, ...], name: NetworkName) -> None:
    if name.takes_input_of is NetworkName.REDUCED:
        fits = shape == REDUCED_INPUT
    else:
        fits = len(shape) == 3 and shape[0] == shape[1] and shape[2] == 3
    if not fits:
        raise ValueError(f"input {shape} of {name}")


def _backgrounds(value: Any, name: NetworkName) -> Backgrounds:
    found = Backgrounds.ANY if value is None else Backgrounds(value)
    if found is not Backgrounds.ANY and name is not NetworkName.PHOTO:
        raise ValueError(f"backgrounds, a field of the photo network, in {name}")
    return found


def _mixture(fields: dict[str, Any] | None, name: NetworkName) -> Mixture | None:
    if fields is None:
        return None
    if name is not NetworkName.PHOTO:
        raise ValueError(f"mixture, a field of the photo network, in {name}")
    weights = {key: float(fields[key]) for key in ("reduced_weight", "photo_weight")}
    if not all(0 <= weight < float("inf") for weight in weights.values()):
        raise ValueError(f"weights {weights} in the mixture of {name}")
    return Mixture(
        **weights,
        acceptance=Acceptance(**fields["acceptance"]),
        out_of_taxonomy_threshold=float(fields["out_of_taxonomy_threshold"]),
    )


def _cosine(value: Any) -> float | None:
    if value is None:
        return None
    cosine = float(value)
    if not -1 <= cosine <= 1:
        raise ValueError(f"alike_min {cosine}")
    return cosine


def _temperature(value: Any, of: str) -> float:
    temperature = float(value)
    if not 0 < temperature < float("inf"):
        raise ValueError(f"temperature {temperature} of {of}")
    return temperature


def _out_of_taxonomy(fields: dict[str, Any]) -> OutOfTaxonomy:
    rule = OutOfTaxonomy(**fields)
    if not isinstance(rule.parameters, str | None):
        raise ValueError(f"out_of_taxonomy.parameters {rule.parameters!r}")
    return rule


def _photo_rule(fields: dict[str, Any] | None, name: NetworkName) -> PhotoRule | None:
    if fields is None:
        return None
    if name is not NetworkName.REDUCED:
        raise ValueError(f"photos, a rule of the 28×28 network, in {name}")
    return PhotoRule(
        temperature=_temperature(fields["temperature"], f"the photos of {name}"),
        acceptance=Acceptance(**fields["acceptance"]),
        out_of_taxonomy_threshold=float(fields["out_of_taxonomy_threshold"]),
    )
