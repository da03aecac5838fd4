"""What people decided, as training data, bit by bit."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, func, or_, select, text
from sqlalchemy.orm import Session, aliased

from catalog.status import ProductStatus
from db.ledger.models import Model, Product
from db.review.models import Action, Review, Reviewer, ReviewItem, WaitsFor
from db.taxonomies.models import MovedLabel


@dataclass(frozen=True, kw_only=True)
class Correction:
    """One human label; a later one of the same image replaces it, a retraction takes it back."""

    review_id: int
    kind: str  # label or retraction
    retracts: int | None  # the review_id that a retraction takes back
    product_id: str
    image_uri: str
    image_sha256: str
    label: str | None
    machine_label: str
    machine_confidence: float
    model_version: str
    reviewer: str
    action: str
    decided_at: datetime


def newest_review(session: Session) -> int:
    """The id up to which nothing can be added any more: the next cursor.

    PostgreSQL numbers rows before they are committed; the lock waits for those under way.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("LOCK TABLE reviews IN SHARE MODE"))
    return session.scalar(select(func.max(Review.id))) or 0


def corrections(session: Session, *, after: int, up_to: int) -> Iterator[Correction]:
    """What was said in (after, up_to] and is in force, and what was taken back since.

    Left out: skips, bad images, disputes that no lead has settled, and opinions that lost one.
    """
    undoing = aliased(Review)
    undone = aliased(Review)
    # What was said, in the taxonomy in force; none where the category was split or removed.
    label = case((MovedLabel.label.is_(None), Review.label), else_=MovedLabel.in_force)
    in_force = (
        Review.action.not_in((Action.SKIP, Action.UNDO, Action.BAD_IMAGE))
        & (Product.status == ProductStatus.REVIEWED)
        & (Product.current_tagging_id == Review.tagging_id)
        & (Product.reviewed_label == label)
        & (ReviewItem.waits_for != WaitsFor.LEAD)
        & or_(undoing.id.is_(None), undoing.id > up_to)
    )
    # Only what an earlier export may have written needs to be taken back.
    retraction = (Review.action == Action.UNDO) & (undone.id <= after)
    retraction = retraction & undone.action.not_in((Action.SKIP, Action.BAD_IMAGE))
    statement = (
        select(Review, Reviewer.name, Product.image_uri, label)
        .join(Reviewer, Reviewer.id == Review.reviewer_id)
        .join(Product, Product.id == Review.product_id)
        .outerjoin(ReviewItem, ReviewItem.product_id == Review.product_id)
        .outerjoin(undoing, undoing.undoes_id == Review.id)
        .outerjoin(undone, undone.id == Review.undoes_id)
        .join(Model, Model.version == Review.model_version)
        .outerjoin(
            MovedLabel,
            (MovedLabel.taxonomy_name == func.coalesce(Review.taxonomy_name, Model.taxonomy_name))
            & (
                MovedLabel.taxonomy_version
                == func.coalesce(Review.taxonomy_version, Model.taxonomy_version)
            )
            & (MovedLabel.label == Review.label),
        )
        .where(Review.id > after, Review.id <= up_to, or_(in_force, retraction))
        .order_by(Review.id)
        .execution_options(yield_per=1000)
    )
    for review, name, image_uri, said in session.execute(statement):
        yield _correction(review, name, image_uri, said)


def _correction(review: Review, reviewer: str, image_uri: str, label: str | None) -> Correction:
    return Correction(
        review_id=review.id,
        kind="retraction" if review.action == Action.UNDO else "label",
        retracts=review.undoes_id,
        product_id=review.product_id,
        image_uri=image_uri,
        image_sha256=review.image_sha256,
        label=label,
        machine_label=review.machine_label,
        machine_confidence=review.machine_confidence,
        model_version=review.model_version,
        reviewer=reviewer,
        action=review.action,
        decided_at=review.decided_at,
    )
