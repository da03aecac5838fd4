"""Where a product stands in the ledger."""

from enum import StrEnum


class ProductStatus(StrEnum):
    """The states of a product; every product is in exactly one."""

    QUEUED = "queued"  # accepted, and published or about to be; no worker has finished it
    PROCESSING = "processing"  # a worker has counted an attempt and is at work
    TAGGED = "tagged"  # the model's label was accepted automatically
    NEEDS_REVIEW = "needs_review"  # tagged, but flagged: a person should look
    REVIEWED = "reviewed"  # a person decided; no machine changes this
    FAILED = "failed"  # no label could be had; the failures table says why
    REMOVED = "removed"  # its sender wants it gone; the row keeps the id, the audit its entries
