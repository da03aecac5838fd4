"""The state machine of a product: whatever changes where one stands is a function here.

docs/DESIGN.md draws it; a test drives every function from every state and compares the arrows.
The caller owns the transaction. Functions that take rows take mappings of column names, all with
the same keys, and write them in the order of their ids: two workers with the same products wait for
each other, and do not deadlock.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Update, case, func, select, update
from sqlalchemy.orm import Session

from catalog.failures import FailureCode
from catalog.queues import BULK_QUEUE
from catalog.status import ProductStatus
from db.ledger.models import Product, Tagging
from db.ledger.product_rows import (
    NO_ATTEMPT,
    NOTHING_IN_THE_QUEUE,
    UNTRIED,
    beside_review,
    crashed,
    is_better,
    put_outcome,
    queued_again,
    times,
    unless_reviewed,
    upsert,
)
from db.upsert import Row

JOB = (Product.id, Product.image_uri, Product.declared_label)


# Accepting


def accept(session: Session, rows: Sequence[Row], now: datetime, *, published: bool = True) -> None:
    """A sender wants these pictures tagged: an outcome is owed to the message that each row names.

    Rows name id, image_uri, declared_label, message_id and queue. What a person said of the same
    picture stays. Not published: the caller sends no message; the upkeep does, as what is due.
    """
    sent: Row = {
        "published_at": now if published else None,
        "next_attempt_at": None if published else now,
    }
    queued = {"status": ProductStatus.QUEUED, "attempts": 0, **sent}
    upsert(
        session,
        [{**row, **queued, **times(now)} for row in rows],
        lambda new: {
            "image_uri": new.image_uri,
            "declared_label": new.declared_label,
            "status": beside_review(new),
            "message_id": new.message_id,
            "queue": new.queue,
            "crashes": 0,
            "queued_at": new.queued_at,
            "updated_at": new.updated_at,
            **UNTRIED,
            "published_at": new.published_at,
            "next_attempt_at": new.next_attempt_at,
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
            status=unless_reviewed(ProductStatus.QUEUED.value),
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
    counted = {
        name: case((lost, value), else_=getattr(Product, name))
        for name, value in crashed(FailureCode.PROCESSING_CRASHED).items()
    }
    statement: Update = (
        update(Product)
        .where(Product.id.in_(chosen.with_for_update(skip_locked=True).scalar_subquery()), wanted)
        .values(
            published_at=now,
            next_attempt_at=None,
            status=queued_again(),
            **NO_ATTEMPT,
            **counted,
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
    upsert(
        session,
        [{**times(now), **row, **begun} for row in rows],
        lambda new: {
            "image_uri": new.image_uri,
            "declared_label": new.declared_label,
            "status": beside_review(new),
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
            status=queued_again(),
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
            status=case((mine, queued_again()), else_=Product.status),
        )
    )


def record_lost_attempt(session: Session, product_ids: Collection[str]) -> None:
    """Open attempts at these products cannot be alive any more: they ended with their process."""
    session.execute(
        update(Product)
        .where(Product.id.in_(product_ids), Product.attempt_by.is_not(None))
        .values(status=queued_again(), **NO_ATTEMPT, **crashed(FailureCode.PROCESSING_CRASHED))
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
            "status": unless_reviewed(new.status),
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

    return put_outcome(session, rows, now, changes, is_better)


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
            status=unless_reviewed(machine),
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
            "status": unless_reviewed(new.status),
            "settled_message_id": new.settled_message_id,
            "last_reason_code": new.last_reason_code,
            "next_attempt_at": None,
        }

    return put_outcome(session, rows, now, changes)


def plan_retry(session: Session, rows: Sequence[Row], now: datetime) -> set[str]:
    """The failure may pass: the product is to be tried again at next_attempt_at.

    Rows name id, image_uri, message_id, last_reason_code and next_attempt_at. Returns the products
    that took it.
    """

    def changes(new: Any) -> dict[str, Any]:
        return {
            "status": unless_reviewed(new.status),
            "last_reason_code": new.last_reason_code,
            "next_attempt_at": new.next_attempt_at,
        }

    rows = [{**row, "status": ProductStatus.QUEUED} for row in rows]
    return put_outcome(session, rows, now, changes)


def review(product: Product, label: str | None, now: datetime) -> None:
    """People have decided on a label, or, where it is None, have taken their decision back.

    The caller holds the product's lock.
    """
    status = ProductStatus.NEEDS_REVIEW if label is None else ProductStatus.REVIEWED
    if (product.status, product.reviewed_label) != (status, label):
        product.status, product.reviewed_label = status, label
        product.updated_at = now


def remove(session: Session, product_id: str, message_id: str, now: datetime) -> bool:
    """Its sender wants the product gone; False: it is, already.

    Nothing is owed to `message_id`, which takes the place of any acceptance there was.
    """
    found = session.execute(
        update(Product)
        .where(Product.id == product_id, Product.status != ProductStatus.REMOVED)
        .values(
            status=ProductStatus.REMOVED,
            image_uri="",
            declared_label=None,
            reviewed_label=None,
            current_tagging_id=None,
            last_model_version=None,
            last_tagged_at=None,
            image_validator=None,
            message_id=message_id,
            settled_message_id=message_id,
            crashes=0,
            updated_at=now,
            **UNTRIED,
            published_at=None,
        )
        .returning(Product.id)
        .execution_options(synchronize_session=False)
    )
    return found.first() is not None
