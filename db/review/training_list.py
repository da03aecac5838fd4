"""What the shop knows of its photos, as a list to train on: people's words and declared labels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from catalog.outcomes import FlagReason
from catalog.status import ProductStatus
from catalog.taxonomy.model import Taxonomy
from catalog.taxonomy.reserved import BAD_IMAGE
from db.ledger.models import Product, Tagging
from db.ledger.taxonomies import taxonomy_in_force
from db.review.models import Review, ReviewItem, WaitsFor
from db.review.opinions import OpinionsNow
from db.review.standing import effective
from db.taxonomies.moves import Moves, moves_of_models, now_called

PAGE = 1000
# How much each word counts: a person's; one that another person did not share; a sender's, who
# errs now and then; a sender's that the model is sure is another.
PERSON, PEOPLE_DIFFERED, DECLARED, DECLARED_DISPUTED = 1.0, 0.5, 0.8, 0.3
# A tagging for these reasons alone is one that the model is sure of.
SURE = frozenset({FlagReason.DECLARED_LABEL_CONFLICT, FlagReason.AUDIT_SAMPLE})

Known = Row[Product, Tagging | None, ReviewItem | None]


@dataclass(frozen=True, kw_only=True)
class KnownPhoto:
    """One line of the list.

    label: an id of the taxonomy, or not_in_taxonomy, that a person gave; else the text that the
    sender declared. declared: nobody looked at it. taxonomy: that a person's label is of.
    image_sha256: of the picture that the person saw.
    """

    image_uri: str
    label: str
    weight: float
    group: str
    declared: bool
    taxonomy: str | None = None
    image_sha256: str | None = None


def known_photos(session: Session) -> Iterator[KnownPhoto]:
    """Every product whose label somebody said, and whose picture shows it, by the product's id.

    Left out: pictures that people call bad, products that failed, and what neither a sender nor a
    person has named.
    """
    taxonomy = taxonomy_in_force(session)
    opinions = OpinionsNow(session)
    last = ""
    while rows := session.execute(_page(last)).all():
        last = rows[-1][0].id
        differed = _differed(session, opinions, rows)
        models = {tagging.model_version for _, tagging, _ in rows if tagging is not None}
        moved = moves_of_models(session, sorted(models))
        for row in rows:
            found = _by_person(row, taxonomy, differed) or _by_sender(row, taxonomy, moved)
            if found is not None:
                yield found


def _page(last: str) -> Any:
    return (
        select(Product, Tagging, ReviewItem)
        .outerjoin(Tagging, Tagging.id == Product.current_tagging_id)
        .outerjoin(ReviewItem, ReviewItem.product_id == Product.id)
        .where(Product.id > last, Product.status != ProductStatus.FAILED)
        .order_by(Product.id)
        .limit(PAGE)
    )


def _differed(session: Session, opinions: OpinionsNow, rows: Sequence[Known]) -> set[int]:
    """The taggings of which people said several things."""
    asked = [item.tagging_id for _, _, item in rows if item is not None and item.round > 2]
    if not asked:
        return set()
    reviews: dict[int, list[Review]] = {}
    for review in session.scalars(select(Review).where(Review.tagging_id.in_(asked))):
        reviews.setdefault(review.tagging_id, []).append(review)
    return {
        tagging_id
        for tagging_id, each in reviews.items()
        if len({label for _, label in opinions.standing(effective(each))}) > 1
    }


def _by_person(row: Known, taxonomy: Taxonomy, differed: set[int]) -> KnownPhoto | None:
    product, tagging, item = row
    label = product.reviewed_label
    if product.status != ProductStatus.REVIEWED or label in (None, BAD_IMAGE):
        return None
    open_ = item is not None and item.waits_for == WaitsFor.LEAD
    doubtful = open_ or (tagging is not None and tagging.id in differed)
    return KnownPhoto(
        image_uri=product.image_uri,
        label=label,
        weight=PEOPLE_DIFFERED if doubtful else PERSON,
        group=product.id,
        declared=False,
        taxonomy=taxonomy.title,
        image_sha256=None if tagging is None else tagging.image_sha256,
    )


def _by_sender(row: Known, taxonomy: Taxonomy, moved: dict[str, Moves]) -> KnownPhoto | None:
    product, tagging, _ = row
    declared = (product.declared_label or "").strip()
    if not declared or product.status == ProductStatus.REVIEWED:
        return None
    disputed = tagging is not None and _disputed(
        taxonomy, declared, tagging, moved[tagging.model_version]
    )
    return KnownPhoto(
        image_uri=product.image_uri,
        label=declared,
        weight=DECLARED_DISPUTED if disputed else DECLARED,
        group=product.id,
        declared=True,
    )


def _disputed(taxonomy: Taxonomy, declared: str, tagging: Tagging, moved: Moves) -> bool:
    """Whether a model that is sure says otherwise, of what both have a category for."""
    said, label = taxonomy.find(declared), now_called(moved, tagging.label)
    if said is None or label not in taxonomy.ids or not SURE.issuperset(tagging.reasons):
        return False
    return not taxonomy.agrees(said, label)
