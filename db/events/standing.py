"""The event that says anew what the machine's word on a product is."""

from catalog.events import EventKind
from catalog.status import ProductStatus
from db.events.fields import MACHINE
from db.events.writing import NewEvent
from db.ledger.models import Tagging


def of_standing(tagging: Tagging, before: str | None, *, open_: bool) -> NewEvent:
    """What is in force is the machine's tagging; open_: a person should look at it.

    before: the label that was in force until now.
    """
    state = ProductStatus.NEEDS_REVIEW if open_ else ProductStatus.TAGGED
    payload = {
        "state": state.value,
        "label": tagging.label,
        "confidence": round(tagging.confidence, 6),
        "decided_by": MACHINE,
        "previous_label": before,
        "model_version": tagging.model_version,
        "reasons": list(tagging.reasons),
    }
    kind = EventKind.FLAGGED if open_ else EventKind.TAGGED
    return NewEvent(kind=kind, product_id=tagging.product_id, payload=payload)
