"""What the ledger holds, for people and programs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from catalog.status import ProductStatus
from db.ledger.counts import CountKind, kept
from db.ledger.models import KeptCount, Product
from db.ledger.results import UNFINISHED


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The catalog at one instant; counts are of products, flag reasons may overlap."""

    by_status: Mapping[str, int]
    by_label: Mapping[str, int]
    flagged_by_reason: Mapping[str, int]
    failed_by_reason: Mapping[str, int]
    by_model: Mapping[str, int]
    by_network: Mapping[str, int]
    oldest_queued_at: datetime | None

    @property
    def products(self) -> int:
        """All but those that were removed."""
        return sum(self.by_status.values()) - self.by_status.get(ProductStatus.REMOVED, 0)

    @property
    def unfinished(self) -> int:
        return sum(self.by_status.get(status, 0) for status in UNFINISHED)


def summarise(session: Session) -> Summary:
    """What the ledger holds, by status, label, flag reason, failure, model and network.

    From counts that are kept: it costs the same whatever the ledger's size.
    """
    counts = kept(session)
    return Summary(
        by_status=counts[CountKind.STATUS],
        by_label=counts[CountKind.LABEL],
        flagged_by_reason=counts[CountKind.REASON],
        failed_by_reason=counts[CountKind.FAILURE],
        by_model=counts[CountKind.MODEL],
        by_network=counts[CountKind.NETWORK],
        oldest_queued_at=oldest_queued_at(session),
    )


def unfinished(session: Session) -> int:
    """How many products no worker has finished, from counts that are kept."""
    mine = KeptCount.kind == CountKind.STATUS, KeptCount.name.in_(UNFINISHED)
    return int(session.scalar(select(func.sum(KeptCount.n)).where(*mine)) or 0)


def oldest_queued_at(session: Session) -> datetime | None:
    """When the unfinished product that has waited longest was queued.

    Asked by state: the least of each is one look into the index, that of both together a walk over
    all that wait.
    """
    found = (
        session.scalar(select(func.min(Product.queued_at)).where(Product.status == status))
        for status in UNFINISHED
    )
    return min((instant for instant in found if instant is not None), default=None)
