"""Counting what the ledger holds, for people and programs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, func, literal_column, select
from sqlalchemy.orm import Session

from catalog.status import ProductStatus
from db.ledger.models import FailureRow, Product, Tagging


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
        return sum(self.by_status.values())

    @property
    def unfinished(self) -> int:
        open_states = (ProductStatus.QUEUED, ProductStatus.PROCESSING)
        return sum(self.by_status.get(status, 0) for status in open_states)


def summarise(session: Session) -> Summary:
    """Count products by status, label, flag reason, failure, model and network."""
    current = select(Tagging).join(Product, Product.current_tagging_id == Tagging.id).subquery()
    waiting = Product.status.in_([ProductStatus.QUEUED, ProductStatus.PROCESSING])
    return Summary(
        by_status=_counts(session, _by(Product.status)),
        by_label=_counts(session, _by(current.c.label)),
        flagged_by_reason=_counts(session, _by_flag_reason(session)),
        failed_by_reason=_counts(session, _by(FailureRow.reason_code)),
        by_model=_counts(session, _by(current.c.model_version)),
        by_network=_counts(session, _by(current.c.network)),
        oldest_queued_at=session.scalar(select(func.min(Product.queued_at)).where(waiting)),
    )


def _by(column: object) -> Select[str, int]:
    return select(column, func.count()).group_by(column)  # type: ignore[call-overload,no-any-return]


def _by_flag_reason(session: Session) -> Select[str, int]:
    expand = (
        func.json_array_elements_text(Tagging.reasons)
        if session.get_bind().dialect.name == "postgresql"
        else func.json_each(Tagging.reasons)
    )
    reason = expand.table_valued("value", name="reason")
    value: object = literal_column("reason.value")
    statement = select(value, func.count()).select_from(Product)  # type: ignore[call-overload]
    statement = statement.join(Tagging, Product.current_tagging_id == Tagging.id)
    return statement.join(reason, literal_column("true")).group_by(value)  # type: ignore[no-any-return]


def _counts(session: Session, statement: Select[str, int]) -> dict[str, int]:
    rows = session.execute(statement.order_by(func.count().desc())).all()
    return {str(name): count for name, count in rows}
