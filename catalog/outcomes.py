"""What became of a job: a tagging or a failure, ready to be stored."""

from dataclasses import dataclass
from enum import StrEnum

from catalog.failures import FailureCode
from catalog.jobs import Job
from catalog.networks import NetworkName
from catalog.redaction import without_secrets


class FlagReason(StrEnum):
    """Why a person should look at a tagging."""

    LOW_CONFIDENCE = "low_confidence"  # below the acceptance rule of its label
    OUT_OF_TAXONOMY = "out_of_taxonomy"  # looks like nothing in the taxonomy
    DECLARED_LABEL_CONFLICT = "declared_label_conflict"  # the shop declared something else
    LABEL_CHANGED_ON_RETAG = "label_changed_on_retag"  # a newer model sees something else
    POOR_IMAGE = "poor_image"  # nothing, or too little, to be seen on the picture
    AUDIT_SAMPLE = "audit_sample"  # accepted; drawn to measure how often accepted is right


@dataclass(frozen=True, kw_only=True)
class Tagging:
    """The model's word on one picture.

    confidences: calibrated probabilities in the order of the model's labels, summing to 1.
    class_map: float16 (height, width, classes) as bytes, row-major: the network's class maps.
    embedding: float16 (d,) as bytes. overlay_jpeg: the Grad-CAM thumbnail of `label`.
    """

    label: str
    confidence: float
    confidences: tuple[float, ...]
    runner_up: str
    runner_up_confidence: float
    out_of_taxonomy_score: float
    model_version: str
    network: NetworkName
    image_sha256: str
    reasons: tuple[FlagReason, ...]
    overlay_jpeg: bytes
    class_map: bytes
    class_map_height: int
    class_map_width: int
    embedding: bytes
    # That the confidences were made at, where the picture is a photo; None: it came reduced.
    photo_temperature: float | None = None
    # The label or the parent of it that is right with the promised precision; None: neither.
    certain_at: str | None = None

    @property
    def flagged(self) -> bool:
        return bool(self.reasons)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why there is no tagging, in a sentence that a person can act on."""

    code: FailureCode
    detail: str
    retry_after_s: float | None = None

    def __post_init__(self) -> None:
        # It is stored, logged and shown; an address in it may carry a password or a signature.
        object.__setattr__(self, "detail", without_secrets(self.detail))


@dataclass(frozen=True, kw_only=True)
class ShadowOpinion:
    """What a candidate model says of a picture that another one tagged; it changes nothing."""

    label: str
    confidence: float
    out_of_taxonomy_score: float
    model_version: str
    image_sha256: str
    reasons: tuple[FlagReason, ...]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one payload.

    job is None when the payload was malformed; subject is then the name its failure is kept
    under, and payload its canonical JSON. shadow is there where a candidate looked too;
    image_validator where something tells later that a tagged picture is still the same.
    """

    subject: str
    job: Job | None
    result: Tagging | Failure
    payload: str | None = None
    shadow: ShadowOpinion | None = None
    image_validator: str | None = None

    def __post_init__(self) -> None:
        if self.payload is not None:
            object.__setattr__(self, "payload", without_secrets(self.payload))
