"""Which batch a webhook gets next, and what came of it.

One batch of a webhook is on its way at a time, and the cursor moves when it was taken: so nothing
is lost, and nothing overtakes. The lease keeps other processes away while it is posted; where a
process dies with it, the batch is posted again under the same id once the lease has run out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from db.events.fields import public
from db.events.reading import CursorError, Event, last_number, read, require_kept
from db.webhooks.models import Webhook, WebhookState

BATCH_MAX = 100
GIVE_UP_AFTER = timedelta(days=3)
REASON_LENGTH_MAX = 500
GONE = 410
GONE_SAYS = "The receiver says that it is gone"


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One message to a receiver; the same id and content however often it is tried.

    secrets: the one in force, then the former one as long as it is valid.
    """

    webhook_id: int
    url: str
    secrets: Sequence[str]
    message_id: str
    content: dict[str, Any]
    until: int
    events: int
    attempt: int

    def __repr__(self) -> str:
        return f"Batch({self.message_id})"


def due(session: Session, now: datetime) -> list[int]:
    """The webhooks that have something to get and nobody who is at it."""
    free = or_(Webhook.lease_until.is_(None), Webhook.lease_until <= now)
    waited = or_(Webhook.next_attempt_at.is_(None), Webhook.next_attempt_at <= now)
    wanted = select(Webhook.id).where(Webhook.state == WebhookState.ACTIVE.value, free, waited)
    return list(session.scalars(wanted.where(Webhook.cursor < last_number(session))))


def any_active(session: Session) -> bool:
    """Whether events are to be posted at all."""
    active = select(Webhook.id).where(Webhook.state == WebhookState.ACTIVE.value).limit(1)
    return session.scalar(active) is not None


def take(
    session: Session, webhook_id: int, owner: str, now: datetime, lease: timedelta
) -> Batch | None:
    """Take the lease and say what to post; None where there is nothing, or somebody else is at it.

    owner: a name that no other thread of any process has.
    """
    mine = or_(Webhook.lease_until.is_(None), Webhook.lease_until <= now, Webhook.lease_by == owner)
    waited = or_(Webhook.next_attempt_at.is_(None), Webhook.next_attempt_at <= now)
    taken = session.scalars(
        update(Webhook)
        .where(Webhook.id == webhook_id, Webhook.state == WebhookState.ACTIVE.value, mine, waited)
        .values(lease_by=owner, lease_until=now + lease)
        .returning(Webhook)
        .execution_options(populate_existing=True)
    ).first()
    if taken is None:
        return None
    try:
        events = _next_events(session, taken)
    except CursorError as error:
        taken.state, taken.reason = WebhookState.STOPPED.value, str(error)[:REASON_LENGTH_MAX]
        events = []
    if not events:
        taken.lease_by = taken.lease_until = None
        return None
    taken.batch_until = events[-1].number
    return _batch(taken, events, now)


def taken(session: Session, batch: Batch, owner: str, now: datetime) -> bool:
    """The receiver has it; False where the lease was lost meanwhile: then it comes once more."""
    return _finish(
        session,
        batch,
        owner,
        cursor=batch.until,
        batch_until=None,
        delivered=Webhook.delivered + batch.events,
        delivered_at=now,
        attempts=0,
        failing_since=None,
        next_attempt_at=None,
        reason=None,
    )


def refused(
    session: Session,
    batch: Batch,
    owner: str,
    now: datetime,
    *,
    why: str,
    gone: bool,
    wait_s: float,
) -> bool:
    """It was not taken: try again after so many seconds, or stop.

    gone: the receiver said that there is nobody any more.
    """
    webhook = session.scalars(
        select(Webhook)
        .where(Webhook.id == batch.webhook_id, Webhook.lease_by == owner)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).first()
    if webhook is None:
        return False
    webhook.lease_by = webhook.lease_until = None
    webhook.attempts += 1
    webhook.failing_since = webhook.failing_since or now
    webhook.next_attempt_at = now + timedelta(seconds=wait_s)
    webhook.reason = why[:REASON_LENGTH_MAX]
    if gone or now - webhook.failing_since >= GIVE_UP_AFTER:
        since = f"Failing since {webhook.failing_since:%Y-%m-%d %H:%M} UTC"
        webhook.state = WebhookState.STOPPED.value
        webhook.reason = f"{GONE_SAYS if gone else since}: {why}"[:REASON_LENGTH_MAX]
    return True


def release(session: Session, webhook_id: int, owner: str) -> None:
    """Let others go on with it at once."""
    session.execute(
        update(Webhook)
        .where(Webhook.id == webhook_id, Webhook.lease_by == owner)
        .values(lease_by=None, lease_until=None)
    )


def _next_events(session: Session, webhook: Webhook) -> Sequence[Event]:
    """At most BATCH_MAX; of a batch that is tried again, the same ones."""
    require_kept(session, webhook.cursor)
    page = read(session, webhook.cursor, kinds=webhook.kinds, limit=BATCH_MAX)
    if webhook.batch_until is not None:
        again = [each for each in page.events if each.number <= webhook.batch_until]
        if again:
            return again
    if not page.events:
        webhook.cursor = page.after
    return page.events


def _batch(webhook: Webhook, events: Sequence[Event], now: datetime) -> Batch:
    secrets = [webhook.secret]
    if webhook.former_secret and webhook.former_until and webhook.former_until > now:
        secrets.append(webhook.former_secret)
    first, last = events[0].number, events[-1].number
    return Batch(
        webhook_id=webhook.id,
        url=webhook.url,
        secrets=secrets,
        message_id=f"msg_{webhook.id}_{webhook.replays}_{first}_{last}",
        content={
            "type": "events",
            "timestamp": events[-1].at.isoformat(),
            "data": {"events": [public(each) for each in events]},
        },
        until=last,
        events=len(events),
        attempt=webhook.attempts + 1,
    )


def _finish(session: Session, batch: Batch, owner: str, **fields: Any) -> bool:
    """Only while the lease is this owner's: a replay may have moved the cursor meanwhile."""
    done = session.scalars(
        update(Webhook)
        .where(Webhook.id == batch.webhook_id, Webhook.lease_by == owner)
        .values(lease_by=None, lease_until=None, **fields)
        .returning(Webhook.id)
        .execution_options(synchronize_session=False)
    )
    return done.first() is not None
