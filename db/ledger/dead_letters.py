"""The dead letters: reading, replaying and forgetting them."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from catalog.failures import FailureCode
from catalog.jobs import Job
from catalog.redaction import shown_uri
from db.ledger.models import FailureRow, Product

QUARANTINED = (FailureCode.PROCESSING_CRASHED.value, FailureCode.PROCESSING_TIMED_OUT.value)


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """What could not be tagged, and why; image_uri is None for a message that was no job."""

    subject: str
    product_id: str | None
    image_uri: str | None
    reason_code: str
    detail: str
    payload: str | None
    attempts: int
    failed_at: datetime


def count(session: Session, *, reason: str | None = None) -> int:
    """How many dead letters there are."""
    counted = select(func.count()).select_from(FailureRow)
    return session.scalar(_of(counted, reason, ())) or 0


def letters(
    session: Session,
    *,
    reason: str | None = None,
    subjects: Sequence[str] = (),
    limit: int | None = None,
) -> Iterator[DeadLetter]:
    """Dead letters, the newest first: of one reason, of some subjects, or all."""
    statement = select(FailureRow, Product.image_uri).outerjoin(
        Product, Product.id == FailureRow.product_id
    )
    statement = _of(statement, reason, subjects).limit(limit)
    newest = statement.order_by(FailureRow.failed_at.desc(), FailureRow.subject)
    for row, image_uri in session.execute(newest):
        yield DeadLetter(
            subject=row.subject,
            product_id=row.product_id,
            image_uri=image_uri and shown_uri(image_uri),
            reason_code=row.reason_code,
            detail=row.detail,
            payload=row.payload,
            attempts=row.attempts,
            failed_at=row.failed_at,
        )


def jobs_to_replay(session: Session, found: Sequence[DeadLetter]) -> list[Job]:
    """The jobs of dead letters that are products; a message that was no job cannot be replayed."""
    ids = [each.product_id for each in found if each.product_id is not None]
    columns = (Product.id, Product.image_uri, Product.declared_label)
    rows = session.execute(select(*columns).where(Product.id.in_(ids)))
    return [
        Job.model_construct(product_id=id_, image_uri=uri, declared_label=label)
        for id_, uri, label in rows
    ]


def quarantined(found: Sequence[DeadLetter]) -> list[str]:
    """The products whose pictures ended their processes, and may do it again."""
    return [each.subject for each in found if each.reason_code in QUARANTINED]


def forget(session: Session, found: Sequence[DeadLetter]) -> None:
    """Delete dead letters; their products stay failed."""
    subjects = [each.subject for each in found]
    session.execute(delete(FailureRow).where(FailureRow.subject.in_(subjects)))


def clear(session: Session, product_ids: Collection[str]) -> set[str]:
    """Delete the dead letters of products that have a label after all; who had one."""
    if not product_ids:
        return set()
    mine = delete(FailureRow).where(FailureRow.subject.in_(product_ids))
    # No object of this session is to be kept in step.
    gone = mine.returning(FailureRow.subject)
    return set(session.scalars(gone, execution_options={"synchronize_session": False}))


def _of(statement: Any, reason: str | None, subjects: Sequence[str]) -> Any:
    if reason is not None:
        statement = statement.where(FailureRow.reason_code == reason)
    if subjects:
        statement = statement.where(FailureRow.subject.in_(subjects))
    return statement
