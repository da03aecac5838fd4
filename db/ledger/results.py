"""What the ledger says of a given set of products."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.status import ProductStatus
from db.ledger.models import FailureRow, Product, Tagging, Thumbnail

IDS_PER_QUERY = 1000
UNFINISHED = (ProductStatus.QUEUED, ProductStatus.PROCESSING)


@dataclass(frozen=True, kw_only=True)
class ProductResult:
    """One product; label and confidence are None as long as it was never tagged."""

    product_id: str
    status: ProductStatus
    tagging_id: int | None
    label: str | None
    confidence: float | None
    certain_at: str | None  # the label or a parent of it, at the promised precision
    reasons: tuple[str, ...]
    failure_code: str | None
    failure_detail: str | None


def results(session: Session, product_ids: Sequence[str]) -> Iterator[ProductResult]:
    """The products among these that have a row, in no particular order."""
    for start in range(0, len(product_ids), IDS_PER_QUERY):
        some = product_ids[start : start + IDS_PER_QUERY]
        statement = (
            select(Product, Tagging, FailureRow)
            .outerjoin(Tagging, Tagging.id == Product.current_tagging_id)
            .outerjoin(FailureRow, FailureRow.subject == Product.id)
            .where(Product.id.in_(some))
        )
        for product, tagging, failure in session.execute(statement):
            yield ProductResult(
                product_id=product.id,
                status=ProductStatus(product.status),
                tagging_id=product.current_tagging_id,
                label=tagging.label if tagging else None,
                confidence=tagging.confidence if tagging else None,
                certain_at=tagging.certain_at if tagging else None,
                reasons=tuple(tagging.reasons) if tagging else (),
                failure_code=failure.reason_code if failure else None,
                failure_detail=failure.detail if failure else None,
            )


def unfinished(session: Session, product_ids: Sequence[str]) -> int:
    """How many of these products no worker has finished; ids without a row count too."""
    finished = 0
    for start in range(0, len(product_ids), IDS_PER_QUERY):
        some = product_ids[start : start + IDS_PER_QUERY]
        condition = Product.id.in_(some) & Product.status.not_in(UNFINISHED)
        finished += len(session.scalars(select(Product.id).where(condition)).all())
    return len(product_ids) - finished


def overlays(session: Session, tagging_ids: Sequence[int]) -> dict[int, bytes]:
    """The Grad-CAM thumbnails of these taggings: JPEG bytes by tagging id."""
    found: dict[int, bytes] = {}
    for start in range(0, len(tagging_ids), IDS_PER_QUERY):
        some = tagging_ids[start : start + IDS_PER_QUERY]
        statement = select(Thumbnail.tagging_id, Thumbnail.overlay_jpeg)
        for tagging_id, jpeg in session.execute(statement.where(Thumbnail.tagging_id.in_(some))):
            found[tagging_id] = jpeg
    return found
