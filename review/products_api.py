"""What became of products, for the programs that handed them in."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Request, Response
from pydantic import BaseModel, Field

from catalog.jobs import is_product_id
from catalog.redaction import shown_uri
from catalog.status import ProductStatus
from db.events.fields import MACHINE, PERSON
from db.ledger.models import Thumbnail
from db.ledger.removing import Kept, remove
from db.services.products import Answer, answers
from review import schemas
from review.desk import desk_of
from review.pictures import FOREVER, IMAGE, picture
from review.problems import ProblemError, responses
from review.sentences import readable
from review.services import JobsService, ResultsService

IDS_MAX = 100
# http_build_query in PHP writes ids[0]=…, axios ids[]=….
INDEXED = re.compile(r"ids\[\d*\]")

router = APIRouter(prefix="/api/v1", tags=["programs"], responses=responses())
ProductPath = Annotated[
    str, Path(description="Percent-encoded. An id of dots alone: ask with `?ids=`.")
]


class LabelShare(BaseModel):
    """How sure the machine is of a category, 0-1."""

    label: str
    confidence: float


class ProductAnswer(BaseModel):
    """One product. Labels are ids of the taxonomy in force, or not_in_taxonomy or bad_image."""

    product_id: str
    state: ProductStatus
    label: str | None = Field(description="The label in force; null: none is.")
    label_name: str | None = Field(description="The same as people read it.")
    decided_by: str | None = Field(description="person or machine; null without a label.")
    reviewer: str | None = Field(description="The person's name.")
    decided_at: datetime | None = Field(description="When the person decided.")
    confidence: float | None = Field(description="The machine's; null where a person decided.")
    confidences: list[LabelShare] = Field(description="The machine's, the greatest first.")
    certain_at: str | None = Field(
        description="The label or a parent of it that is right with the promised precision."
    )
    reasons: list[str] = Field(description="Why a person should look, or should have.")
    model_version: str | None
    taxonomy: str
    taxonomy_version: int
    tagged_at: datetime | None
    thumbnail_url: str | None = Field(description="The Grad-CAM overlay; takes the same token.")
    declared_label: str | None
    image_uri: str = Field(description="Without user, password and query.")
    attempts: int
    next_attempt_at: datetime | None
    reason_code: str | None = Field(description="Why there is no label, where it failed.")
    detail: str | None = Field(description="The same as a sentence.")
    queued_at: datetime
    updated_at: datetime


class ProductAnswers(BaseModel):
    """Those that are known, in the order asked for; and those that are not, or were removed."""

    products: list[ProductAnswer]
    missing: list[str]


class Removed(BaseModel):
    """A product is gone; what is kept of it for the audit."""

    product_id: str
    state: ProductStatus
    kept: list[str] = Field(description="What is kept, as sentences.")


@router.get("/products")
def get_products(
    request: Request,
    service: ResultsService,
    ids: Annotated[list[str], Query(description=f"Repeated: ids=a&ids=b, at most {IDS_MAX}.")] = [],  # noqa: B006 - FastAPI copies it
) -> ProductAnswers:
    """Where these products stand, and what they are called."""
    asked = ids + [
        value for name, value in request.query_params.multi_items() if INDEXED.fullmatch(name)
    ]
    asked = list(dict.fromkeys(asked))
    if not asked or len(asked) > IDS_MAX:
        raise ProblemError(
            422, f"Expected 1 to {IDS_MAX} ids, as in ?ids=a&ids=b, received {len(asked)}."
        )
    found = _answers(request, asked)
    return ProductAnswers(
        products=[_shown(found[each]) for each in asked if each in found],
        missing=[each for each in asked if each not in found],
    )


@router.get("/products/{product_id:path}", responses=responses(404))
def get_product(
    request: Request, service: ResultsService, product_id: ProductPath
) -> ProductAnswer:
    """Where the product stands, its label in force, who said so, and how sure the machine is."""
    found = _answers(request, [product_id]).get(product_id)
    if found is None:
        raise _unknown(product_id)
    return _shown(found)


@router.delete("/products/{product_id:path}", responses=responses(404))
def delete_product(request: Request, service: JobsService, product_id: ProductPath) -> Removed:
    """Remove the product with its address, its labels and its pictures; say what is kept.

    What is on its way is dropped when it arrives. Accepting a job of the same id starts anew.
    """
    desk = desk_of(request)
    kept = None
    if is_product_id(product_id):
        with desk.write() as session:
            kept = remove(session, product_id, desk.now())
    if kept is None:
        raise _unknown(product_id)
    return Removed(product_id=product_id, state=ProductStatus.REMOVED, kept=_sentences(kept))


@router.get("/thumbnails/{tagging}", response_class=Response, responses={**IMAGE, **responses(404)})
def get_thumbnail(
    request: Request,
    service: ResultsService,
    tagging: Annotated[int, Path(ge=1, le=schemas.ID_MAX)],
    if_none_match: Annotated[str | None, Header(max_length=1000)] = None,
) -> Response:
    """The Grad-CAM overlay that `thumbnail_url` of a product leads to; it never changes."""
    with desk_of(request).read() as session:
        found = session.get(Thumbnail, tagging)
        jpeg = found.overlay_jpeg if found else b""
    if not jpeg:
        raise ProblemError(404, f"There is no thumbnail {tagging}.")
    return picture(jpeg, "image/jpeg", FOREVER, if_none_match)


def _answers(request: Request, product_ids: Sequence[str]) -> dict[str, Answer]:
    # What is no id cannot be there, and no database may be asked for it.
    asked = [each for each in product_ids if is_product_id(each)]
    with desk_of(request).read() as session:
        return answers(session, asked)


def _shown(found: Answer) -> ProductAnswer:
    product, tagging, failure = found.product, found.tagging, found.failure
    by_person = found.state is ProductStatus.REVIEWED
    in_force = found.label is not None
    return ProductAnswer(
        product_id=product.id,
        state=found.state,
        label=found.label,
        label_name=readable(found.label, found.taxonomy) if in_force else None,
        decided_by=(PERSON if by_person else MACHINE) if in_force else None,
        reviewer=found.decision.reviewer if found.decision else None,
        decided_at=found.decision.decided_at if found.decision else None,
        confidence=tagging.confidence if tagging and in_force and not by_person else None,
        confidences=[
            LabelShare(label=label, confidence=round(share, 6))
            for label, share in found.confidences.items()
        ],
        certain_at=tagging.certain_at if tagging else None,
        reasons=list(tagging.reasons) if tagging else [],
        model_version=tagging.model_version if tagging else None,
        taxonomy=found.taxonomy.name,
        taxonomy_version=found.taxonomy.version,
        tagged_at=tagging.tagged_at if tagging else None,
        thumbnail_url=f"/api/v1/thumbnails/{tagging.id}" if tagging else None,
        declared_label=product.declared_label,
        image_uri=shown_uri(product.image_uri),
        attempts=product.attempts,
        next_attempt_at=product.next_attempt_at,
        reason_code=failure.reason_code if failure else None,
        detail=failure.detail if failure else None,
        queued_at=product.queued_at,
        updated_at=product.updated_at,
    )


def _sentences(kept: Kept) -> list[str]:
    said = ["The id and the time of removal, so that what is on its way is dropped."]
    if kept.reviews:
        said.append(
            f"{kept.reviews} entries of the audit: who decided what and when, and {kept.taggings} "
            "taggings that were judged, with the SHA-256 of their picture and without it."
        )
    said.append("Events that were written, until `tagger prune`; counts of re-tagging runs.")
    return said


def _unknown(product_id: str) -> ProblemError:
    return ProblemError(
        404, f"Expected a product that was handed in and not removed, found none {product_id!r}."
    )
