"""How transitions write the rows of products: shared columns, and whose outcome a row takes."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, literal_column, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from catalog.failures import FailureCode
from catalog.status import ProductStatus
from db.ledger.models import Product
from db.upsert import Parameters, Row, insert_many

# What several transitions write alike.
NO_ATTEMPT: Row = {"attempt_by": None, "attempt_started_at": None}
UNTRIED: Row = {"attempts": 0, "last_reason_code": None, "next_attempt_at": None, **NO_ATTEMPT}
NOTHING_IN_THE_QUEUE: Row = {"published_at": None, **NO_ATTEMPT}
OPEN_STATES = (ProductStatus.FAILED, ProductStatus.QUEUED, ProductStatus.PROCESSING)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What is in force of a product as long as its lock is held."""

    reviewed: bool
    removed: bool
    reviewed_label: str | None
    current_tagging_id: int | None


def lock(session: Session, product_ids: Collection[str]) -> dict[str, Standing]:
    """Take the rows' locks, and read what is in force.

    SQLite's transactions hold the only lock there is already.
    """
    if not product_ids:
        return {}
    columns = (Product.id, Product.status, Product.reviewed_label, Product.current_tagging_id)
    ordered = select(*columns).where(Product.id.in_(product_ids)).order_by(Product.id)
    return {
        id_: Standing(
            reviewed=status == ProductStatus.REVIEWED,
            removed=status == ProductStatus.REMOVED,
            reviewed_label=label,
            current_tagging_id=tagging_id,
        )
        for id_, status, label, tagging_id in session.execute(
            ordered.with_for_update(key_share=True)
        )
    }


def put_outcome(
    session: Session,
    rows: Sequence[Row],
    now: datetime,
    changes: Any,
    better: Any = None,
) -> set[str]:
    """Write outcomes into the rows that owe them; the products whose rows took theirs.

    An outcome is taken by the acceptance that it belongs to, and by no other: while a picture was
    looked at, a sender may have accepted the product anew, and the row then speaks of that, under
    another message id. Of several outcomes of one acceptance (its message came twice, and two
    children worked on it at once) the first one settles it; a later one is taken only where it is
    `better`.
    """
    if not rows:
        return set()
    every = {"attempts": 0, "image_validator": None}
    statement, parameters = _ordered(session, [{**every, **row, **times(now)} for row in rows])
    new = statement.excluded
    same = Product.message_id == new.message_id
    first = Product.settled_message_id.is_distinct_from(new.message_id)
    also = {"image_validator": new.image_validator, "updated_at": new.updated_at}
    found = statement.on_conflict_do_update(
        index_elements=[Product.id],
        set_={**changes(new), **also, **NOTHING_IN_THE_QUEUE},
        where=and_(same, or_(first, better(new)) if better else first),
    )
    return set(session.execute(found.returning(Product.id), parameters).scalars())


def is_better(new: Any) -> ColumnElement[bool]:
    """Whether a tagging beats what its acceptance has already: a failure, or an older model.

    Two children may look at one picture for one acceptance at the same time, with different luck
    (one could not fetch it) or different models (one had not yet loaded the promoted one). Their
    outcomes come in any order. Each statement sees the row as the other one left it, because both
    write it: on PostgreSQL the second waits for the first one's lock and then judges the new row,
    on SQLite there is one writer. So the result is the same in either order: the tagging, by the
    model that was made last. The same tagging again (a redelivery that was begun before the first
    outcome was stored) changes nothing.
    """
    current = case(
        (Product.status == ProductStatus.REVIEWED, Product.current_tagging_id),
        else_=new.current_tagging_id,
    )
    changes = or_(
        Product.status != unless_reviewed(new.status),
        Product.current_tagging_id.is_distinct_from(current),
    )
    newer = _model_age("excluded.current_tagging_id") > _model_age("products.current_tagging_id")
    return and_(changes, or_(*(Product.status == each for each in OPEN_STATES), newer))


def _model_age(tagging_id: str) -> ColumnElement[str]:
    """When the model of a tagging was made, as sortable text; a newer one is greater.

    As text, because ON CONFLICT has no enclosing SELECT that a subquery could be correlated with.
    """
    return literal_column(
        "(SELECT coalesce(models.created_at, '') || models.version FROM models "  # noqa: S608
        "JOIN taggings ON taggings.model_version = models.version "
        f"WHERE taggings.id = {tagging_id})"
    )


def upsert(session: Session, rows: Sequence[Row], changes: Any) -> None:
    """Insert the rows, or change those that are there."""
    if rows:
        statement, parameters = _ordered(session, rows)
        found = statement.on_conflict_do_update(
            index_elements=[Product.id], set_=changes(statement.excluded)
        )
        session.execute(found, parameters)


def _ordered(
    session: Session, rows: Sequence[Row]
) -> tuple[postgresql.Insert | sqlite.Insert, Parameters]:
    return insert_many(session, Product, sorted(rows, key=lambda row: str(row["id"])))


def crashed(code: FailureCode) -> dict[str, Any]:
    """One crash more; what is known of an earlier one is kept."""
    return {
        "crashes": Product.crashes + 1,
        "last_reason_code": func.coalesce(Product.last_reason_code, code.value),
    }


def beside_review(new: Any) -> ColumnElement[str]:
    """The new row's status; a review of the same picture stays: people win."""
    reviewed = (Product.status == ProductStatus.REVIEWED) & (Product.image_uri == new.image_uri)
    return case((reviewed, Product.status), else_=new.status)


def unless_reviewed(status: Any) -> ColumnElement[str]:
    return case((Product.status == ProductStatus.REVIEWED, Product.status), else_=status)


def queued_again() -> ColumnElement[str]:
    """Processing becomes queued; a reviewed product is reviewed during an attempt, too."""
    return case(
        (Product.status == ProductStatus.PROCESSING, ProductStatus.QUEUED.value),
        else_=Product.status,
    )


def times(now: datetime) -> dict[str, datetime]:
    return {"created_at": now, "queued_at": now, "updated_at": now}
