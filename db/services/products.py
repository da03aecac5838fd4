"""What programs are told of products: where each stands, what it is called, and who says so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from catalog.status import ProductStatus
from catalog.taxonomy.model import Taxonomy
from db.ledger.models import FailureRow, Model, Product, Tagging
from db.ledger.taxonomies import taxonomy_in_force
from db.review.models import Action, Review, Reviewer
from db.taxonomies.moves import Moves, moves_of_models, now_called

LABELLED = (ProductStatus.TAGGED, ProductStatus.NEEDS_REVIEW, ProductStatus.REVIEWED)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The decision of a person that is in force."""

    reviewer: str
    decided_at: datetime


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One product.

    label: in the taxonomy in force; None: none is in force. tagging and confidences are the
    machine's word on the picture, whatever people said; confidences by category as it is called
    now, the greatest first. decision: only where the label is a person's.
    """

    product: Product
    tagging: Tagging | None
    failure: FailureRow | None
    label: str | None
    taxonomy: Taxonomy
    confidences: Mapping[str, float]
    decision: Decision | None

    @property
    def state(self) -> ProductStatus:
        return ProductStatus(self.product.status)


def answers(session: Session, product_ids: Sequence[str]) -> dict[str, Answer]:
    """Those of these products that the ledger knows and that were not removed, by id."""
    statement = (
        select(Product, Tagging, FailureRow, Model)
        .outerjoin(Tagging, Tagging.id == Product.current_tagging_id)
        .outerjoin(Model, Model.version == Tagging.model_version)
        .outerjoin(FailureRow, FailureRow.subject == Product.id)
        .where(Product.id.in_(product_ids), Product.status != ProductStatus.REMOVED)
    )
    rows = session.execute(statement).all()
    taxonomy = taxonomy_in_force(session)
    moved = moves_of_models(session, list({model.version for *_, model in rows if model}))
    reviewed = [product for product, *_ in rows if product.status == ProductStatus.REVIEWED]
    decisions = _decisions(session, reviewed)
    found = {}
    for product, tagging, failure, model in rows:
        of_model = moved[model.version] if model else {}
        found[product.id] = Answer(
            product=product,
            tagging=tagging,
            failure=failure if product.status == ProductStatus.FAILED else None,
            label=_label(product, tagging, of_model),
            taxonomy=taxonomy,
            confidences=_confidences(tagging, model, of_model) if tagging else {},
            decision=decisions.get(product.id),
        )
    return found


def _label(product: Product, tagging: Tagging | None, moved: Moves) -> str | None:
    if product.status == ProductStatus.REVIEWED:
        return product.reviewed_label
    if tagging is None or product.status not in LABELLED:
        return None
    return now_called(moved, tagging.label)


def _confidences(tagging: Tagging, model: Model, moved: Moves) -> dict[str, float]:
    """What was merged adds up; what is gone stands under its former id."""
    found: dict[str, float] = {}
    for label, confidence in zip(model.labels, tagging.confidences, strict=True):
        name = now_called(moved, label) or label
        found[name] = found.get(name, 0.0) + confidence
    return dict(sorted(found.items(), key=lambda each: -each[1]))


def _decisions(session: Session, products: Sequence[Product]) -> dict[str, Decision]:
    """The latest decision on each that was not taken back, of those that say what is in force.

    A change of the taxonomy may have renamed the label since: then the latest of all.
    """
    taken_back = aliased(Review)
    statement = (
        select(Review.product_id, Review.label, Reviewer.name, Review.decided_at)
        .join(Reviewer, Reviewer.id == Review.reviewer_id)
        .outerjoin(taken_back, taken_back.undoes_id == Review.id)
        .where(
            Review.product_id.in_([each.id for each in products]),
            Review.action.not_in((Action.SKIP, Action.UNDO)),
            taken_back.id.is_(None),
        )
        .order_by(Review.id)
    )
    in_force = {each.id: each.reviewed_label for each in products}
    latest: dict[str, tuple[bool, Decision]] = {}
    for product_id, label, name, decided_at in session.execute(statement) if products else ():
        fits = label == in_force[product_id]
        if fits or not latest.get(product_id, (False, None))[0]:
            latest[product_id] = fits, Decision(reviewer=name, decided_at=decided_at)
    return {product_id: decision for product_id, (_, decision) in latest.items()}
