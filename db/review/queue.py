"""What stands in the queue of items that a person should look at."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, func, select
from sqlalchemy.orm import Session

from catalog.networks import NetworkName
from catalog.status import ProductStatus
from db.ledger.models import Product, Tagging, Thumbnail
from db.review.lessons import Arrival, hints_for
from db.review.models import ReviewItem, WaitsFor
from db.review.value import bucket, disagreement, novelty
from db.taxonomies.moves import moves_of_models, now_called
from db.upsert import insert

FILL_SIZE = 5000


def refresh(session: Session, product_ids: Sequence[str]) -> None:
    """Bring these products' rows of the queue up to date with the ledger.

    A product that needs a review gets a row; one with a newer tagging starts again; one that no
    longer waits for a person loses its row. A row that agrees is not touched.
    """
    wanted = _wanted(session, Product.id.in_(product_ids))
    _insert(session, wanted)
    kept = (ProductStatus.NEEDS_REVIEW, ProductStatus.REVIEWED)
    session.execute(
        delete(ReviewItem).where(
            ReviewItem.product_id.in_(product_ids),
            ~exists().where(Product.id == ReviewItem.product_id, Product.status.in_(kept)),
        )
    )


def fill(session: Session) -> int:
    """Add the rows of products that came into the ledger before there was a queue."""
    added, last = 0, 0
    while rows := _wanted(session, Tagging.id > last, limit=FILL_SIZE):
        _insert(session, rows)
        added, last = added + len(rows), rows[-1]["tagging_id"]
    return added


def _wanted(
    session: Session, condition: ColumnElement[bool], limit: int | None = None
) -> list[dict[str, Any]]:
    """The rows of products that need a review and have none for their current tagging."""
    statement = (
        select(Product.declared_label, Tagging, Thumbnail.embedding)
        .join(Tagging, Tagging.id == Product.current_tagging_id)
        .outerjoin(Thumbnail, Thumbnail.tagging_id == Tagging.id)
        .outerjoin(ReviewItem, ReviewItem.product_id == Product.id)
        .where(condition, Product.status == ProductStatus.NEEDS_REVIEW)
        .where(ReviewItem.tagging_id.is_distinct_from(Tagging.id))
        .order_by(Tagging.id)
        .limit(limit)
    )
    found = session.execute(statement).all()
    buckets = [bucket(embedding or b"", NetworkName(each.network)) for _, each, embedding in found]
    alike = _counts_by_bucket(session, set(buckets))
    versions = sorted({tagging.model_version for _, tagging, _ in found})
    moved = moves_of_models(session, versions)
    rows = []
    for (declared_label, tagging, embedding), number in zip(found, buckets, strict=True):
        before = alike.get(number, 0)
        alike[number] = before + 1
        row = _row(declared_label, tagging, embedding or b"", number, before)
        label = now_called(moved[tagging.model_version], tagging.label)
        rows.append(row | {"label": label or tagging.label})
    return _with_hints(session, rows, [tagging.network for _, tagging, _ in found])


def _with_hints(
    session: Session, rows: Sequence[dict[str, Any]], networks: Sequence[str]
) -> list[dict[str, Any]]:
    """The rows with what people said of look-alikes: these come first among the most valuable."""
    arrivals = [
        Arrival(
            label=row["label"],
            embedding=row["embedding"],
            model_version=row["model_version"],
            network=network,
        )
        for row, network in zip(rows, networks, strict=True)
    ]
    hints = hints_for(session, arrivals) if arrivals else []
    return [
        row
        if hint is None
        else row | {"hint": hint.label, "hint_from": hint.tagging_id, "value": row["value"] + 1}
        for row, hint in zip(rows, hints, strict=True)
    ]


def _row(
    declared_label: str | None, tagging: Tagging, embedding: bytes, number: int, alike: int
) -> dict[str, Any]:
    return {
        "product_id": tagging.product_id,
        "tagging_id": tagging.id,
        "waits_for": WaitsFor.REVIEWER,
        "round": 1,
        "version": 1,
        "leased_by": None,
        "leased_until": None,
        "label": tagging.label,
        "confidence": tagging.confidence,
        "model_version": tagging.model_version,
        "declared_label": declared_label,
        "reasons": f" {' '.join(tagging.reasons)} ",
        "tagged_at": tagging.tagged_at,
        "value": disagreement(tagging.confidences, tagging.reasons) * novelty(alike),
        "bucket": number,
        "embedding": embedding,
        "hint": None,
        "hint_from": None,
    }


def _counts_by_bucket(session: Session, buckets: set[int]) -> dict[int, int]:
    if not buckets:
        return {}
    statement = select(ReviewItem.bucket, func.count()).where(ReviewItem.bucket.in_(buckets))
    rows = session.execute(statement.group_by(ReviewItem.bucket))
    return {int(number): count for number, count in rows}


def _insert(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    if not rows:
        return
    statement = insert(session, ReviewItem)
    columns = {
        name: column
        for name, column in statement.excluded.items()
        if name not in ("product_id", "version")
    }
    upsert = statement.on_conflict_do_update(
        index_elements=[ReviewItem.product_id],
        set_=columns | {"version": ReviewItem.version + 1},
        where=ReviewItem.tagging_id != statement.excluded.tagging_id,
    )
    session.execute(upsert, list(rows))
