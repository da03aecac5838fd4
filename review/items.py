"""From the database's rows to what the API and the pages show."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from catalog.networks import NetworkName
from db.review import listing as review_listing
from db.review.decisions import etag
from db.review.listing import Entry
from db.review.models import Review, Role, WaitsFor
from review.access import Principal
from review.schemas import Item, LabelConfidence, ReviewRecord, SimilarItem
from review.sentences import dispute, why
from review.similar import ReviewedIndex

SIMILAR = 6


def show(
    session: Session,
    index: ReviewedIndex,
    person: Principal,
    tagging_ids: Sequence[int],
    now: datetime,
) -> list[Item]:
    """These items in full, as this person may see them."""
    entries = review_listing.entries(session, tagging_ids, now)
    embeddings = {entry.item.tagging_id: entry.item.embedding for entry in entries}
    nearest = index.nearest(session, embeddings, SIMILAR)
    return [
        item_of(entry, reviews=_audit(session, person, entry)).model_copy(
            update={
                "similar": [
                    SimilarItem(
                        item=each.tagging_id,
                        label=each.label,
                        similarity=each.similarity,
                        thumbnail_url=f"/pictures/{each.tagging_id}/thumbnail",
                    )
                    for each in nearest[entry.item.tagging_id]
                ]
            }
        )
        for entry in entries
    ]


def item_of(entry: Entry, reviews: Sequence[tuple[Review, str]] = ()) -> Item:
    """One entry of the queue; what people said before is shown only with `reviews`."""
    row, tagging = entry.item, entry.tagging
    place = f"/pictures/{row.tagging_id}"
    open_ = row.waits_for == WaitsFor.REVIEWER
    settle = dispute(reviews, entry.to_judge_by) if row.waits_for == WaitsFor.LEAD else ""
    return Item(
        item=row.tagging_id,
        etag=etag(row.tagging_id, row.version),
        product_id=row.product_id,
        status=entry.product.status if not open_ else "needs_review",
        waits_for=WaitsFor(row.waits_for),
        round=row.round if not open_ else 1,
        label=entry.label,
        label_name=_name(entry),
        taxonomy=entry.to_judge_by.title,
        confidence=tagging.confidence,
        confidences=[
            LabelConfidence(label=label, confidence=share)
            for label, share in entry.confidences.items()
        ],
        out_of_taxonomy_score=tagging.out_of_taxonomy_score,
        model_version=tagging.model_version,
        network=tagging.network,
        judged_by=f"{tagging.model_version}, {NetworkName(tagging.network).spoken}",
        declared_label=row.declared_label,
        certain_at=tagging.certain_at,
        reasons=list(entry.reasons),
        why=f"{settle} {why(entry)}".strip(),
        # A second opinion is blind: nothing may tell what the first one was.
        reviewed_label=None if open_ else entry.product.reviewed_label,
        tagged_at=tagging.tagged_at,
        leased_by=entry.holder,
        leased_until=row.leased_until if entry.holder else None,
        photo_url=f"{place}/photo",
        heat_url=f"{place}/heat/",
        thumbnail_url=f"{place}/thumbnail",
        similar=[],
        reviews=[record_of(review, name) for review, name in reviews],
    )


def _name(entry: Entry) -> str:
    """What the model's label is called now, or was before it was gone."""
    known = entry.label in entry.to_judge_by.by_id
    return (entry.to_judge_by if known else entry.taxonomy).name_of(entry.label)


def record_of(review: Review, reviewer: str) -> ReviewRecord:
    """One row of the audit."""
    return ReviewRecord(
        id=review.id,
        item=review.tagging_id,
        product_id=review.product_id,
        reviewer=reviewer,
        action=review.action,
        label=review.label,
        machine_label=review.machine_label,
        machine_confidence=review.machine_confidence,
        model_version=review.model_version,
        image_sha256=review.image_sha256,
        round=review.round,
        channel=review.channel,
        seconds=review.seconds,
        decided_at=review.decided_at,
        undoes=review.undoes_id,
    )


def _audit(session: Session, person: Principal, entry: Entry) -> Sequence[tuple[Review, str]]:
    decided = entry.item.waits_for == WaitsFor.NOBODY
    dispute_of_lead = person.role is Role.LEAD and entry.item.waits_for == WaitsFor.LEAD
    if not (decided or dispute_of_lead):
        return ()
    return review_listing.reviews_of(session, entry.item.tagging_id)
