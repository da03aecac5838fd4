"""Attempts: counted before a picture is touched, so that one that kills its process is known.

A product is a suspect when an earlier attempt at it died, or is still open in another process.
Suspects run alone; after CRASHES_MAX crashes they are quarantined.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.failures import FailureCode
from catalog.jobs import Job
from catalog.outcomes import Failure, Outcome
from catalog.queues import INGEST_QUEUE
from db.ledger import transitions
from db.ledger.message_ids import is_ours, new_id_of_sent, was_sent_as
from db.ledger.models import Product

CRASHES_MAX = 3


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One job as a message brought it: the message's id, and whether it was delivered before."""

    job: Job
    message_id: str
    redelivered: bool = False


@dataclass(frozen=True, kw_only=True)
class _Named(Delivery):
    """A delivery under the id of its acceptance, which may be a new one."""

    is_new: bool = False


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """An attempt that was counted: number is 1 for the first since the product was accepted."""

    message_id: str
    number: int
    owner: str


@dataclass(frozen=True, kw_only=True)
class Begun:
    """What to do with each delivery, by its position; what is named nowhere has its outcome."""

    now: Sequence[int]  # to be tagged at once
    alone: Sequence[int]  # suspects: each to be run in a batch of its own, later
    quarantined: Sequence[Outcome]  # to be recorded as failed
    attempts: Mapping[str, Attempt]  # by product id


@dataclass(frozen=True, kw_only=True)
class _Standing:
    """The columns of a product's row that decide."""

    image_uri: str
    message_id: str | None
    settled_message_id: str | None
    attempts: int
    attempt_by: str | None
    attempt_started_at: datetime | None
    next_attempt_at: datetime | None
    crashes: int
    last_reason_code: str | None
    queued_at: datetime


class _Verdict(Enum):
    DONE = auto()
    TAG = auto()
    SUSPECT = auto()
    QUARANTINE = auto()


def begin(
    session: Session,
    deliveries: Sequence[Delivery],
    now: datetime,
    *,
    owner: str,
    attempt_s_max: float,
    alone: bool = False,
    queue: str = INGEST_QUEUE,
) -> Begun:
    """Count an attempt for every delivery that is to be tagged now; missing rows are created.

    owner names the child at work. An open attempt that is older than attempt_s_max is dead: no
    child works longer than that.
    """
    standings = _standings(session, {each.job.product_id for each in deliveries})
    oldest = now - timedelta(seconds=attempt_s_max)
    lost = {each for each, standing in standings.items() if _lost(standing, owner, oldest)}
    if lost:
        transitions.record_lost_attempt(session, lost)
        standings |= _standings(session, lost)
    named = [_named(each, standings.get(each.job.product_id)) for each in deliveries]
    verdicts = _verdicts(named, standings, owner, now)
    suspects = [each for each, verdict in verdicts.items() if verdict is _Verdict.SUSPECT]
    tag = [each for each, verdict in verdicts.items() if verdict is _Verdict.TAG]
    if alone:
        tag, suspects = [*tag, *suspects], []
    bad = [each for each, verdict in verdicts.items() if verdict is _Verdict.QUARANTINE]
    attempts = {
        named[position].job.product_id: _attempt(named[position], standings, owner)
        for position in (*tag, *bad)
    }
    _begin(session, [named[position] for position in tag], standings, attempts, now, queue)
    return Begun(
        now=tag,
        alone=suspects,
        quarantined=[
            _quarantine(named[position].job, standings[named[position].job.product_id])
            for position in bad
        ],
        attempts=attempts,
    )


def _begin(
    session: Session,
    deliveries: Sequence[Delivery],
    standings: Mapping[str, _Standing],
    attempts: Mapping[str, Attempt],
    now: datetime,
    queue: str,
) -> None:
    if not deliveries:
        return
    ids = [each.job.product_id for each in deliveries]
    rows = [
        _row(each, attempts[id_], standings.get(id_), now, queue)
        for id_, each in zip(ids, deliveries, strict=True)
    ]
    transitions.begin_attempt(session, rows, attempts[ids[0]].owner, now)


def release(session: Session, attempts: Mapping[str, Attempt]) -> None:
    """Take attempts back that ended without an outcome through no fault of the picture."""
    for owner in {attempt.owner for attempt in attempts.values()}:
        mine = [product_id for product_id, each in attempts.items() if each.owner == owner]
        transitions.release(session, mine, owner)


def _standings(session: Session, product_ids: set[str]) -> dict[str, _Standing]:
    columns = [getattr(Product, name) for name in _Standing.__dataclass_fields__]
    # Locked in one order, so that two workers with the same products wait and do not deadlock.
    found = session.execute(
        select(Product.id, *columns)
        .where(Product.id.in_(product_ids))
        .order_by(Product.id)
        .with_for_update(key_share=True)
    )
    return {
        product_id: _Standing(**dict(zip(_Standing.__dataclass_fields__, values, strict=True)))
        for product_id, *values in found
    }


def _lost(standing: _Standing, owner: str, oldest: datetime) -> bool:
    """Whether its open attempt is another child's, and cannot be alive any more."""
    started = standing.attempt_started_at
    if standing.attempt_by in (None, owner) or started is None:
        return False
    return started <= oldest


def _named(delivery: Delivery, standing: _Standing | None) -> _Named:
    """The delivery under the id of its acceptance.

    A message that the ledger did not name is a new acceptance: its sender may use one name for all
    pictures of a product. Only one that the broker has delivered before, with the address that the
    row has, is the acceptance that was begun then.
    """
    name, job = delivery.message_id, delivery.job
    if is_ours(name) or (standing is not None and name == standing.message_id):
        return _Named(job=job, message_id=name)
    if delivery.redelivered and standing is not None:
        current, settled = standing.message_id, standing.settled_message_id
        if (
            current is not None
            and was_sent_as(current, name)
            and job.image_uri == standing.image_uri
        ):
            return _Named(job=job, message_id=current)
        if settled is not None and settled != current and was_sent_as(settled, name):
            return _Named(job=job, message_id=settled)
    return _Named(job=job, message_id=new_id_of_sent(name), is_new=True)


def _verdicts(
    deliveries: Sequence[_Named],
    standings: Mapping[str, _Standing],
    owner: str,
    now: datetime,
) -> dict[int, _Verdict]:
    """By position; of several open deliveries of one product the last speaks for all."""
    last: dict[str, tuple[int, _Verdict]] = {}
    for position, each in enumerate(deliveries):
        verdict = _judge(each, standings, owner, now)
        if verdict is not _Verdict.DONE:
            last[each.job.product_id] = (position, verdict)
    return dict(last.values())


def _judge(
    delivery: _Named, standings: Mapping[str, _Standing], owner: str, now: datetime
) -> _Verdict:
    """What is to be done with a delivery, by its product's row as it stands under our lock.

    The same message may be in two hands (its visibility timeout ended, the reconciler published it
    again, a child died and its message went back), and so may two messages of one product. Each
    hand comes here first and holds the row until its verdict is committed: two that ask at once are
    answered one after the other, and the second sees what the first was told.

    - The first was told to tag and is at work: `attempt_by` is another's, so the second runs alone,
      later. It takes the attempt over then; both outcomes may come, in any order, and
      db/ledger/product_rows.py takes the same one. If the picture kills its process, no mates die
      with it.
    - The first has stored its outcome: the message is settled, and the second is done. An outcome
      that is stored between this verdict and the second's own is the case before.
    - The row was not there: both insert it, the second's insert waits for the first one's commit
      and becomes an update. Both tag: the first case without the second's being alone.
    - A later acceptance came in between: the row names another message. Ours is superseded, and its
      outcome, should it come from an earlier hand, is not taken.
    """
    standing = standings.get(delivery.job.product_id)
    if standing is None:
        return _Verdict.TAG
    same = delivery.message_id == standing.message_id
    if delivery.message_id == standing.settled_message_id:
        return _Verdict.DONE
    if not same and not delivery.is_new:
        return _Verdict.DONE  # a later acceptance took its place, and has a message of its own
    if same and standing.next_attempt_at is not None and standing.next_attempt_at > now:
        return _Verdict.DONE  # its outcome is the retry that is planned
    if same and standing.crashes >= CRASHES_MAX:
        return _Verdict.QUARANTINE
    if standing.crashes or standing.attempt_by not in (None, owner):
        return _Verdict.SUSPECT
    return _Verdict.TAG


def _attempt(delivery: Delivery, standings: Mapping[str, _Standing], owner: str) -> Attempt:
    standing = standings.get(delivery.job.product_id)
    same = standing is not None and standing.message_id == delivery.message_id
    number = standing.attempts + 1 if standing is not None and same else 1
    return Attempt(message_id=delivery.message_id, number=number, owner=owner)


def _row(
    delivery: Delivery, attempt: Attempt, standing: _Standing | None, now: datetime, queue: str
) -> dict[str, object]:
    same = standing is not None and standing.message_id == delivery.message_id
    return {
        "id": delivery.job.product_id,
        "image_uri": delivery.job.image_uri,
        "declared_label": delivery.job.declared_label,
        "message_id": delivery.message_id,
        "settled_message_id": standing.settled_message_id if standing else None,
        "queue": queue,
        "attempts": attempt.number,
        "crashes": standing.crashes if standing and same else 0,
        "queued_at": standing.queued_at if standing and same else now,
    }


def _quarantine(job: Job, standing: _Standing) -> Outcome:
    hung = standing.last_reason_code == FailureCode.PROCESSING_TIMED_OUT
    code = FailureCode.PROCESSING_TIMED_OUT if hung else FailureCode.PROCESSING_CRASHED
    how = "ran into the time limit" if hung else "died"
    detail = (
        f"The process {how} {standing.crashes} times over this picture, the last times alone. "
        "Look at the file before it is replayed."
    )
    return Outcome(subject=job.product_id, job=job, result=Failure(code=code, detail=detail))
