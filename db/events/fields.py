"""What an event of a product says, and how readers outside get it."""

from typing import Any

from db.events.reading import Event

# Who a label is from.
PERSON, MACHINE = "person", "machine"
# In the order in which readers get them; an event that does not say one says null.
FIELDS = (
    "state",  # where the product stands now: tagged, needs_review, reviewed, failed, removed
    "label",  # the id of the category in force; null: none is
    "confidence",  # the machine's, 0-1; null: the label is a person's, or there is none
    "decided_by",  # person or machine
    "reviewer",  # the person's name
    "previous_label",  # the one in force before
    "model_version",  # the model that looked
    "taxonomy",  # what the label is an id of
    "taxonomy_version",
    "reasons",  # why a person should look
    "reason_code",  # why there is no label
)


def public(event: Event) -> dict[str, Any]:
    """The event as every reader outside gets it: the same id, type and fields, whatever the way."""
    head = {
        "id": event.number,
        "type": event.kind,
        "at": event.at.isoformat(),
        "product_id": event.product_id,
    }
    known = dict.fromkeys(FIELDS) if event.product_id is not None else {}
    return head | known | dict(event.payload)
