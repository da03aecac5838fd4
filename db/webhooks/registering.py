"""Adding, pausing and replaying webhooks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.errors import OperatorError
from catalog.events import EventKind
from catalog.webhooks import new_secret
from db.events.reading import CursorError, last_number, require_kept
from db.webhooks.models import Webhook, WebhookState

# Each has a thread of its own while something is posted to it.
WEBHOOKS_MAX = 50
FORMER_VALID = timedelta(hours=24)


class WebhookError(OperatorError):
    """What was asked for cannot be done."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a webhook is doing. behind: events, of any kind, after the last one that was taken."""

    id: int
    url: str
    kinds: Sequence[str]
    state: WebhookState
    reason: str | None
    cursor: int
    behind: int
    delivered: int
    delivered_at: datetime | None
    attempts: int
    failing_since: datetime | None
    next_attempt_at: datetime | None


def add(session: Session, url: str, kinds: Sequence[EventKind], now: datetime) -> Webhook:
    """A new webhook, which gets what happens from now on.

    Raises:
        WebhookError: there are too many.
    """
    if len(session.scalars(select(Webhook.id)).all()) >= WEBHOOKS_MAX:
        raise WebhookError(f"Expected at most {WEBHOOKS_MAX} webhooks. Remove one first.")
    made = Webhook(
        url=url,
        kinds=[each.value for each in kinds],
        secret=new_secret(),
        state=WebhookState.ACTIVE.value,
        cursor=last_number(session),
        replays=0,
        delivered=0,
        attempts=0,
        created_at=now,
    )
    session.add(made)
    session.flush()
    return made


def remove(session: Session, webhook_id: int) -> None:
    """Post nothing to it any more."""
    session.delete(_found(session, webhook_id))


def pause(session: Session, webhook_id: int) -> None:
    """Keep its place; a batch that is on its way right now may still arrive."""
    webhook = _found(session, webhook_id)
    webhook.state, webhook.reason = WebhookState.PAUSED.value, None


def resume(session: Session, webhook_id: int) -> None:
    """Go on at once where it stopped."""
    _go_on(_found(session, webhook_id))


def rotate(session: Session, webhook_id: int, now: datetime) -> str:
    """A new secret; the former one signs, too, for another day."""
    webhook = _found(session, webhook_id)
    webhook.former_secret, webhook.former_until = webhook.secret, now + FORMER_VALID
    webhook.secret = new_secret()
    return webhook.secret


def replay(session: Session, webhook_id: int, after: int) -> None:
    """Post again everything after this number, and go on from there.

    Raises:
        CursorError: what is kept begins later, or no event has this number yet.
    """
    if after < 0:
        raise CursorError(f"Expected the number of an event, or 0 for all, received {after}.")
    require_kept(session, after)
    webhook = _found(session, webhook_id)
    webhook.cursor, webhook.replays = after, webhook.replays + 1
    _go_on(webhook)


def standings(session: Session) -> list[Standing]:
    """All webhooks, the oldest first."""
    last = last_number(session)
    return [
        Standing(
            id=each.id,
            url=each.url,
            kinds=each.kinds,
            state=WebhookState(each.state),
            reason=each.reason,
            cursor=each.cursor,
            behind=max(0, last - each.cursor),
            delivered=each.delivered,
            delivered_at=each.delivered_at,
            attempts=each.attempts,
            failing_since=each.failing_since,
            next_attempt_at=each.next_attempt_at,
        )
        for each in session.scalars(select(Webhook).order_by(Webhook.id))
    ]


def _go_on(webhook: Webhook) -> None:
    """Whoever is at it loses the lease, so that what it finds moves nothing any more."""
    webhook.state, webhook.reason = WebhookState.ACTIVE.value, None
    webhook.batch_until = webhook.failing_since = webhook.next_attempt_at = None
    webhook.attempts = 0
    webhook.lease_by = webhook.lease_until = None


def _found(session: Session, webhook_id: int) -> Webhook:
    wanted = select(Webhook).where(Webhook.id == webhook_id).with_for_update()
    webhook = session.scalars(wanted).first()
    if webhook is None:
        raise WebhookError(f"Expected the number of a webhook, found {webhook_id}: there is none.")
    return webhook
