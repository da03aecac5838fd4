"""Which products a re-tagging run is about, as conditions of a query."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, select

from catalog.failures import FailureCode
from catalog.status import ProductStatus
from db.ledger.models import FailureRow, Model, Product, Tagging
from db.retag.selection import Selection
from db.taxonomies.models import MovedLabel

TRANSIENT = tuple(code.value for code in FailureCode if code.transient)
LABELLED = (ProductStatus.TAGGED, ProductStatus.NEEDS_REVIEW, ProductStatus.REVIEWED)


def unindexed(column: Any) -> ColumnElement[Any]:
    """A column for conditions that are to be checked row by row in a range of the key.

    SQLite takes every `=`, `IN` and `IS NULL` on an indexed column for a rare one, unless ANALYZE
    has told otherwise, and would visit the index's every row for each page.
    """
    return func.coalesce(column, None)


def condition(selection: Selection, *, model_version: str, as_of: datetime) -> ColumnElement[bool]:
    """Whether a product belongs to a run that began as_of, when model_version served.

    What is on its way already is left alone, and what was accepted since: the run would chase it.
    """
    status = unindexed(Product.status)
    settled = [
        Product.created_at <= as_of,
        func.coalesce(Product.published_at, Product.next_attempt_at).is_(None),
    ]
    if selection.everything:
        return and_(*settled, status.in_([*LABELLED, ProductStatus.FAILED]))
    if selection.failed_transient:
        # Scalar subqueries are answered row by row from the key; EXISTS may become a join that
        # reads the whole other table for every page.
        reason = select(FailureRow.reason_code).where(FailureRow.subject == Product.id)
        failed = status == ProductStatus.FAILED
        return and_(*settled, failed, reason.scalar_subquery().in_(TRANSIENT))
    chosen = [*settled, status.in_(LABELLED)]
    if selection.older_model:
        chosen.append(Product.last_model_version.is_distinct_from(model_version))
    if selection.older_than_days is not None:
        before = as_of - timedelta(days=selection.older_than_days)
        chosen.append(Product.last_tagged_at < before)
    if selection.labels:
        label = select(Tagging.label).where(Tagging.id == Product.current_tagging_id)
        chosen.append(label.scalar_subquery().in_(selection.labels))
    if selection.changed_taxonomy:
        chosen.append(_touched().scalar_subquery() > 0)
    return and_(*chosen)


def _touched() -> Select[int]:
    """1 where the category of a product's current tagging was split or removed, else 0."""
    return (
        select(func.count())
        .select_from(Tagging)
        .join(Model, Model.version == Tagging.model_version)
        .join(
            MovedLabel,
            (MovedLabel.taxonomy_name == Model.taxonomy_name)
            & (MovedLabel.taxonomy_version == Model.taxonomy_version)
            & (MovedLabel.label == Tagging.label),
        )
        .where(Tagging.id == Product.current_tagging_id, MovedLabel.in_force.is_(None))
    )
