"""What products are called now: all of them, or those that something happened to since an event."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from catalog.status import ProductStatus
from catalog.taxonomy.model import Taxonomy
from db.events.fields import MACHINE, PERSON
from db.events.reading import read
from db.ledger.models import Product, Tagging
from db.ledger.taxonomies import taxonomy_in_force
from db.review.models import Review, Reviewer
from db.review.opinions import OpinionsNow
from db.review.standing import effective
from db.taxonomies.moves import moves_of_models, now_called

PAGE_SIZE = 1000
# What is on its way has an event to come.
SETTLED = (ProductStatus.TAGGED, ProductStatus.NEEDS_REVIEW, ProductStatus.REVIEWED,
           ProductStatus.FAILED)  # fmt: skip
REMOVED = "removed"


@dataclass(frozen=True, kw_only=True)
class LabelRow:
    """One product as it stands; the label is an id of the taxonomy in force, or none.

    state: tagged, needs_review, reviewed, failed, or removed: it is in the ledger no more.
    confidence: the machine's, 0-1, in machine_label, which a person may have overruled.
    """

    product_id: str
    state: str
    label: str | None = None
    name: str | None = None
    parent: str | None = None
    parent_name: str | None = None
    google: str | None = None
    shopify: str | None = None
    confidence: float | None = None
    machine_label: str | None = None
    decided_by: str | None = None
    reviewer: str | None = None
    model_version: str | None = None
    taxonomy: str | None = None
    taxonomy_version: int | None = None
    reason_code: str | None = None
    updated_at: datetime | None = None


def every_label(session: Session) -> Iterator[LabelRow]:
    """All products with an outcome, in the order of their ids."""
    taxonomy, last = taxonomy_in_force(session), ""
    while True:
        statement = select(Product.id).where(Product.id > last).order_by(Product.id)
        ids = session.scalars(statement.limit(PAGE_SIZE)).all()
        if not ids:
            return
        yield from _rows(session, ids, taxonomy)
        last = ids[-1]


def labels_since(session: Session, after: int, up_to: int) -> Iterator[LabelRow]:
    """The products of the events in (after, up_to], once each, as they stand now."""
    taxonomy = taxonomy_in_force(session)
    seen: set[str] = set()
    while after < up_to:
        page = read(session, after, limit=PAGE_SIZE)
        after = page.after
        found = (each.product_id for each in page.events if each.number <= up_to)
        new = [each for each in dict.fromkeys(found) if each is not None and each not in seen]
        seen.update(new)
        yield from _rows(session, new, taxonomy, removed=True)


def _rows(
    session: Session, ids: Sequence[str], taxonomy: Taxonomy, *, removed: bool = False
) -> Iterator[LabelRow]:
    """removed: also name those that are not in the ledger any more."""
    found = {
        row.Product.id: row
        for row in session.execute(
            select(Product, Tagging)
            .outerjoin(Tagging, Tagging.id == Product.current_tagging_id)
            .where(Product.id.in_(ids))
        )
    }
    versions = sorted({row.Tagging.model_version for row in found.values() if row.Tagging})
    moved = moves_of_models(session, versions)
    people = _reviewers(session, [row.Product for row in found.values()])
    for id_ in ids:
        row = found.get(id_)
        if row is None and removed:
            yield LabelRow(product_id=id_, state=REMOVED)
        elif row is not None and row.Product.status in SETTLED:
            machine = row.Tagging and now_called(
                moved[row.Tagging.model_version], row.Tagging.label
            )
            yield _row(row, machine, people.get(id_), taxonomy)
    session.expunge_all()  # a whole catalog does not fit into memory


def _row(
    row: Row[Product, Tagging], machine: str | None, reviewer: str | None, taxonomy: Taxonomy
) -> LabelRow:
    product, tagging = row
    reviewed = product.status == ProductStatus.REVIEWED
    failed = product.status == ProductStatus.FAILED
    label = product.reviewed_label if reviewed else None if failed else machine
    category = taxonomy.by_id.get(label or "")
    parent = category.parent if category else None
    external = category.external if category else {}
    return LabelRow(
        product_id=product.id,
        state=product.status,
        label=label,
        name=taxonomy.name_of(label) if label else None,
        parent=parent,
        parent_name=taxonomy.name_of(parent) if parent else None,
        google=external.get("google"),
        shopify=external.get("shopify"),
        confidence=tagging.confidence if tagging and not failed else None,
        machine_label=machine if not failed else None,
        decided_by=PERSON if reviewed else MACHINE if label else None,
        reviewer=reviewer,
        model_version=tagging.model_version if tagging and not failed else None,
        taxonomy=taxonomy.name if label else None,
        taxonomy_version=taxonomy.version if label else None,
        reason_code=product.last_reason_code if failed else None,
        updated_at=product.updated_at,
    )


def _reviewers(session: Session, products: Iterable[Product]) -> dict[str, str]:
    """Whose word is in force, by product: the last one who said it."""
    wanted = {
        each.id: (each.current_tagging_id, each.reviewed_label)
        for each in products
        if each.status == ProductStatus.REVIEWED
    }
    taggings = [tagging_id for tagging_id, _ in wanted.values()]
    if not taggings:
        return {}
    statement = select(Review, Reviewer.name).join(Reviewer, Reviewer.id == Review.reviewer_id)
    said: dict[str, list[Review]] = {}
    names: dict[int, str] = {}
    for review, name in session.execute(
        statement.where(Review.tagging_id.in_(taggings)).order_by(Review.id)
    ):
        said.setdefault(review.product_id, []).append(review)
        names[review.id] = name
    opinions = OpinionsNow(session)
    return {
        id_: names[review.id]
        for id_, reviews in said.items()
        for review, label in opinions.standing(effective(reviews))
        if label == wanted[id_][1]
    }
