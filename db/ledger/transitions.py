"""The state machine of a product: whatever changes where one stands is a function here.

docs/DESIGN.md draws it; a test drives every function from every state and compares the arrows.
The caller owns the transaction. Functions that take rows take mappings of column names, all with
the same keys; those that lock take the rows' locks in the order of their ids, so that two workers
with the same products wait and do not deadlock.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Update, and_, case, func, literal_column, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from catalog.failures import FailureCode
from catalog.jobs import BULK_QUEUE, Job
from catalog.status import ProductStatus
from db.ledger.models import Product, Tagging
from db.upsert import Parameters, Row, insert_many

# What several transitions write alike.
NO_ATTEMPT: Row = {"attempt_by": None, "attempt_started_at": None}
UNTRIED: Row = {"attempts": 0, "last_reason_code": None, "next_attempt_at": None, **NO_ATTEMPT}
NOTHING_IN_THE_QUEUE: Row = {"published_at": None, **NO_ATTEMPT}
OPEN_STATES = (ProductStatus.FAILED, ProductStatus.QUEUED, ProductStatus.PROCESSING)
JOB = (Product.id, Product.image_uri, Product.declared_label)


def lock(session: Session, product_ids: Collection[str]) -> None:
    """Take the rows' locks; SQLite's transactions hold the only one there is already."""
    if session.get_bind().dialect.name == "postgresql":
        ordered = select(Product.id).where(Product.id.in_(product_ids)).order_by(Product.id)
        session.execute(ordered.with_for_update(key_share=True))


# Accepting


def accept(session: Session, rows: Sequence[Row], now: datetime) -> None:
    """A sender wants these pictures tagged: an outcome is owed to the message that each row names.

    Rows name id, image_uri, declared_label, message_id and queue. What a person said of the same
    picture stays.
    """
    queued = {"status": ProductStatus.QUEUED, "published_at": now, "attempts": 0}
    _upsert(
        session,
        [{**row, **queued, **_times(now)} for row in rows],
        lambda new: {
            "image_uri": new.image_uri,
            "declared_label": new.declared_label,
            "status": _beside_review(new),
            "message_id": new.message_id,
            "queue": new.queue,
            "published_at": new.published_at,
            "crashes": 0,
            "queued_at": new.queued_at,
            "updated_at": new.updated_at,
            **UNTRIED,
        },
    )


def accept_again(
    session: Session,
    product_ids: Sequence[str],
    wanted: ColumnElement[bool],
    message_id: str,
    now: datetime,
) -> Sequence[Any]:
    """A re-tagging run wants those of these products that are wanted; all travel in one message.

    What ended with its process before runs alone again. Returns id, image_uri, declared_label and
    current_tagging_id of each.
    """
    statement = (
        update(Product)
        .where(Product.id.in_(product_ids), wanted)
        .values(
            status=_unless_reviewed(ProductStatus.QUEUED.value),
            message_id=message_id,
            queue=BULK_QUEUE,
            published_at=now,
            crashes=case((Product.crashes > 0, 1), else_=0),
            queued_at=now,
            updated_at=now,
            **UNTRIED,
        )
        .returning(*JOB, Product.current_tagging_id)
    )
    return session.execute(statement.execution_options(synchronize_session=False)).all()


def replay(session: Session, rows: Sequence[Row], suspects: Collection[str], now: datetime) -> None:
    """A person wants dead letters tried again; those that may end their process run alone."""
    accept(session, rows, now)
    session.execute(update(Product).where(Product.id.in_(suspects)).values(crashes=1))


def republish(
    session: Session, wanted: ColumnElement[bool], order: Any, now: datetime, limit: int
) -> Sequence[Any]:
    """What is due or lost is in the queue once more, under the id of its message.

    One UPDATE moves the rows out of every other reconciler's sight, so that each is claimed once.
    An open attempt of theirs ended with its process. Returns id, image_uri, declared_label,
    message_id and queue.
    """
    chosen = select(Product.id).where(wanted).order_by(order).limit(limit)
    lost = Product.attempt_by.is_not(None)
    crashed = {
        name: case((lost, value), else_=getattr(Product, name))
        for name, value in _crashed(FailureCode.PROCESSING_CRASHED).items()
    }
    statement: Update = (
        update(Product)
        .where(Product.id.in_(chosen.with_for_update(skip_locked=True).scalar_subquery()), wanted)
        .values(
            published_at=now,
            next_attempt_at=None,
            status=_queued_again(),
            **NO_ATTEMPT,
            **crashed,
        )
    )
    returning = statement.returning(*JOB, Product.message_id, Product.queue)
    return session.execute(returning.execution_options(synchronize_session=False)).all()


# Attempts


def begin_attempt(session: Session, rows: Sequence[Row], owner: str, now: datetime) -> None:
    """A child is about to touch these pictures; products that nobody accepted get their row.

    Rows name id, image_uri, declared_label, message_id, settled_message_id, queue, attempts (this
    one counted), crashes and queued_at, as they are to be: the caller has read them under lock().
    """
    begun = {
        "status": ProductStatus.PROCESSING,
        "published_at": now,
        "attempt_by": owner,
        "attempt_started_at": now,
    }
    _upsert(
        session,
        [{**_times(now), **row, **begun} for row in rows],
        lambda new: {
            "image_uri": new.image_uri,
            "declared_label": new.declared_label,
            "status": _beside_review(new),
            "message_id": new.message_id,
            "settled_message_id": new.settled_message_id,
            # When its message left is what the reconciler tells lost ones by.
            "published_at": func.coalesce(Product.published_at, new.published_at),
            "attempts": new.attempts,
            "crashes": new.crashes,
            "attempt_by": new.attempt_by,
            "attempt_started_at": new.attempt_started_at,
            "next_attempt_at": None,
            "queued_at": new.queued_at,
            "updated_at": new.updated_at,
        },
    )


def release(session: Session, product_ids: Sequence[str], owner: str) -> None:
    """Attempts of this child ended through no fault of their pictures: they do not count."""
    session.execute(
        update(Product)
        .where(Product.id.in_(product_ids), Product.attempt_by == owner)
        .values(
            attempts=case((Product.attempts > 0, Product.attempts - 1), else_=0),
            status=_queued_again(),
            **NO_ATTEMPT,
        )
    )


def record_crash(
    session: Session, product_ids: Sequence[str], owner: str, code: FailureCode
) -> None:
    """The child `owner` ended over these pictures.

    Over a single one it ended whoever is at it now: a picture whose message came twice may be in
    two children at once, and each of them takes the attempt over before the other one's crash is
    known. Of several, those that another child took over meanwhile are left to it.
    """
    mine = Product.attempt_by == owner
    counted = mine if len(product_ids) > 1 else Product.attempt_by.is_not(None)
    session.execute(
        update(Product)
        .where(Product.id.in_(product_ids), counted)
        .values(
            crashes=Product.crashes + 1,
            last_reason_code=code.value,
            attempt_by=case((mine, None), else_=Product.attempt_by),
            attempt_started_at=case((mine, None), else_=Product.attempt_started_at),
            status=case((mine, _queued_again()), else_=Product.status),
        )
    )


def record_lost_attempt(session: Session, product_ids: Collection[str]) -> None:
    """Open attempts at these products cannot be alive any more: they ended with their process."""
    session.execute(
        update(Product)
        .where(Product.id.in_(product_ids), Product.attempt_by.is_not(None))
        .values(status=_queued_again(), **NO_ATTEMPT, **_crashed(FailureCode.PROCESSING_CRASHED))
    )


# Outcomes


def settle(session: Session, rows: Sequence[Row], now: datetime) -> set[str]:
    """A model has spoken: the product is tagged, or waits for a person.

    Rows name id, image_uri, message_id, status, current_tagging_id, last_model_version and
    image_validator. Returns the products that took it; a review stays.
    """
    reviewed = Product.status == ProductStatus.REVIEWED
    rows = [{**row, "settled_message_id": row["message_id"], "last_tagged_at": now} for row in rows]

    def changes(new: Any) -> dict[str, Any]:
        return {
            "status": _unless_reviewed(new.status),
            "current_tagging_id": case(
                (reviewed, Product.current_tagging_id), else_=new.current_tagging_id
            ),
            "last_model_version": new.last_model_version,
            "last_tagged_at": new.last_tagged_at,
            "settled_message_id": new.settled_message_id,
            "crashes": 0,
            "last_reason_code": None,
            "next_attempt_at": None,
        }

    return _put_outcome(session, rows, now, changes, _is_better)


def settle_unchanged(
    session: Session, product_ids: Sequence[str], message_id: str, now: datetime
) -> set[str]:
    """The model that serves has seen this very picture: its tagging stands."""
    flagged = select(Tagging.flagged).where(Tagging.id == Product.current_tagging_id)
    machine = case(
        (flagged.scalar_subquery(), ProductStatus.NEEDS_REVIEW.value),
        else_=ProductStatus.TAGGED.value,
    )
    statement = (
        update(Product)
        .where(
            Product.id.in_(product_ids),
            Product.message_id == message_id,
            Product.settled_message_id.is_distinct_from(message_id),
        )
        .values(
            status=_unless_reviewed(machine),
            settled_message_id=message_id,
            crashes=0,
            last_reason_code=None,
            last_tagged_at=now,
            updated_at=now,
            **NOTHING_IN_THE_QUEUE,
        )
        .returning(Product.id)
    )
    return set(session.scalars(statement.execution_options(synchronize_session=False)))


def give_up(session: Session, rows: Sequence[Row], now: datetime) -> set[str]:
    """The product has failed for good; an earlier tagging of it stays to be seen.

    Rows name id, image_uri, message_id and last_reason_code. Returns the products that took it.
    """
    rows = [
        {**row, "settled_message_id": row["message_id"], "status": ProductStatus.FAILED}
        for row in rows
    ]

    def changes(new: Any) -> dict[str, Any]:
        return {
            "status": _unless_reviewed(new.status),
            "settled_message_id": new.settled_message_id,
            "last_reason_code": new.last_reason_code,
            "next_attempt_at": None,
        }

    return _put_outcome(session, rows, now, changes)


def plan_retry(session: Session, rows: Sequence[Row], now: datetime) -> set[str]:
    """The failure may pass: the product is to be tried again at next_attempt_at.

    Rows name id, image_uri, message_id, last_reason_code and next_attempt_at. Returns the products
    that took it.
    """

    def changes(new: Any) -> dict[str, Any]:
        return {
            "status": _unless_reviewed(new.status),
            "last_reason_code": new.last_reason_code,
            "next_attempt_at": new.next_attempt_at,
        }

    rows = [{**row, "status": ProductStatus.QUEUED} for row in rows]
    return _put_outcome(session, rows, now, changes)


def review(product: Product, label: str | None, now: datetime) -> None:
    """People have decided on a label, or, where it is None, have taken their decision back.

    The caller holds the product's lock.
    """
    status = ProductStatus.NEEDS_REVIEW if label is None else ProductStatus.REVIEWED
    if (product.status, product.reviewed_label) != (status, label):
        product.status, product.reviewed_label = status, label
        product.updated_at = now


# Conditions and columns


def _put_outcome(
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
    statement, parameters = _ordered(session, [{**every, **row, **_times(now)} for row in rows])
    new = statement.excluded
    same = Product.message_id == new.message_id
    first = Product.settled_message_id.is_distinct_from(new.message_id)
    also = {"image_validator": new.image_validator, "updated_at": new.updated_at}
    upsert = statement.on_conflict_do_update(
        index_elements=[Product.id],
        set_={**changes(new), **also, **NOTHING_IN_THE_QUEUE},
        where=and_(same, or_(first, better(new)) if better else first),
    )
    return set(session.execute(upsert.returning(Product.id), parameters).scalars())


def _is_better(new: Any) -> ColumnElement[bool]:
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
        Product.status != _unless_reviewed(new.status),
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


def _upsert(session: Session, rows: Sequence[Row], changes: Any) -> None:
    """Insert the rows, or change those that are there."""
    if rows:
        statement, parameters = _ordered(session, rows)
        upsert = statement.on_conflict_do_update(
            index_elements=[Product.id], set_=changes(statement.excluded)
        )
        session.execute(upsert, parameters)


def _ordered(
    session: Session, rows: Sequence[Row]
) -> tuple[postgresql.Insert | sqlite.Insert, Parameters]:
    return insert_many(session, Product, sorted(rows, key=lambda row: str(row["id"])))


def _crashed(code: FailureCode) -> dict[str, Any]:
    """One crash more; what is known of an earlier one is kept."""
    return {
        "crashes": Product.crashes + 1,
        "last_reason_code": func.coalesce(Product.last_reason_code, code.value),
    }


def _beside_review(new: Any) -> ColumnElement[str]:
    """The new row's status; a review of the same picture stays: people win."""
    reviewed = (Product.status == ProductStatus.REVIEWED) & (Product.image_uri == new.image_uri)
    return case((reviewed, Product.status), else_=new.status)


def _unless_reviewed(status: Any) -> ColumnElement[str]:
    return case((Product.status == ProductStatus.REVIEWED, Product.status), else_=status)


def _queued_again() -> ColumnElement[str]:
    """Processing becomes queued; a reviewed product is reviewed during an attempt, too."""
    return case(
        (Product.status == ProductStatus.PROCESSING, ProductStatus.QUEUED.value),
        else_=Product.status,
    )


def _times(now: datetime) -> dict[str, datetime]:
    return {"created_at": now, "queued_at": now, "updated_at": now}


def accepted_row(job: Job, message_id: str, queue: str) -> Mapping[str, object]:
    """What accept() needs to know of a job."""
    return {
        "id": job.product_id,
        "image_uri": job.image_uri,
        "declared_label": job.declared_label,
        "message_id": message_id,
        "queue": queue,
    }
