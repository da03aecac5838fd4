"""Which events people's decisions are."""

from catalog.events import EventKind
from catalog.status import ProductStatus
from catalog.taxonomy.model import Taxonomy
from db.events.fields import PERSON
from db.events.standing import of_standing
from db.events.writing import NewEvent
from db.ledger.models import Product, Tagging


def of_review(
    product: Product, before: str | None, tagging: Tagging, taxonomy: Taxonomy, reviewer: str
) -> list[NewEvent]:
    """The event of a product whose review may have come into force, changed or been undone.

    before: the person's label that was in force; None: there was none. taxonomy: what people's
    labels are ids of.
    """
    label = product.reviewed_label if product.status == ProductStatus.REVIEWED else None
    if label == before:
        return []  # one opinion of two, or a skipped item
    if label is None:
        return [of_standing(tagging, before, open_=True)]
    payload = {
        "state": ProductStatus.REVIEWED.value,
        "label": label,
        "confidence": None,
        "decided_by": PERSON,
        "reviewer": reviewer,
        "previous_label": before or tagging.label,
        "model_version": tagging.model_version,
        "taxonomy": taxonomy.name,
        "taxonomy_version": taxonomy.version,
    }
    return [NewEvent(kind=EventKind.DECIDED, product_id=product.id, payload=payload)]
