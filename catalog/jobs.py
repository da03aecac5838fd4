"""The public contract of the queue: payloads (JSON only). Its names are in catalog/queues.py."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeGuard

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

# Of the names of dead letters that are no products.
SUBJECT_PREFIX = "payload:"

# Printable, so that ids are safe in logs, tables and URLs: no control characters.
ProductId = Annotated[
    str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")
]
ImageUri = Annotated[
    str, StringConstraints(min_length=1, max_length=2048, pattern=r"^[^\x00-\x1f\x7f]+$")
]
DeclaredLabel = Annotated[
    str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")
]


_PRODUCT_ID: TypeAdapter[str] = TypeAdapter(ProductId)


def is_product_id(found: object) -> TypeGuard[str]:
    """Whether it may stand in the ledger: PostgreSQL fails of NUL and lone surrogates."""
    try:
        _PRODUCT_ID.validate_python(found, strict=True)
    except ValidationError:
        return False
    return True


class MalformedJobError(ValueError):
    """A payload that is no job; the message says which field and why."""


class Job(BaseModel):
    """One product to tag.

    `image_uri` is https, http, a file URI or an absolute path under an allowed root.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    product_id: ProductId
    image_uri: ImageUri
    declared_label: DeclaredLabel | None = Field(default=None)

    def payload(self) -> dict[str, Any]:
        """The keyword arguments of the task, as they travel."""
        return self.model_dump(exclude_none=True)


def parse_job(payload: object) -> Job:
    """Check one payload.

    Raises:
        MalformedJobError: what was expected and what was found, field by field.
    """
    if not isinstance(payload, Mapping):
        raise MalformedJobError(
            f"Expected an object with product_id and image_uri, found {_kind(payload)}."
        )
    try:
        return Job.model_validate(dict(payload))
    except ValidationError as error:
        found = "; ".join(
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()
        )
        raise MalformedJobError(f"Expected a job of product_id and image_uri; {found}.") from None


def payload_subject(payload: object) -> str:
    """The name under which the failure of a malformed payload is kept.

    It is the payload's own sha256, so that the same message delivered twice makes one row, and a
    malformed message never speaks for the product it happens to name.
    """
    return SUBJECT_PREFIX + hashlib.sha256(canonical_json(payload).encode()).hexdigest()


def canonical_json(payload: object) -> str:
    """ASCII JSON with sorted keys: equal payloads give equal text."""
    return json.dumps(payload, sort_keys=True, default=repr)


def file_job(path: Path, product_id: str, declared_label: str | None = None) -> Job:
    """The job of a local file."""
    return Job(
        product_id=product_id, image_uri=path.absolute().as_uri(), declared_label=declared_label
    )


def _kind(payload: object) -> str:
    return f"{type(payload).__name__} {payload!r:.80}"
