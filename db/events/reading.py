"""Reading events by number: a reader who has passed a number has seen every one up to it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from catalog.errors import OperatorError
from db.events.models import NUMBERED, EventCursor, EventRow
from db.ledger.models import Model


class CursorError(OperatorError):
    """No reader can go on from this number."""


class EventsGoneError(CursorError):
    """Events after this number have been deleted: whoever goes on from it misses them."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened. number is its id for all readers, for good."""

    number: int
    at: datetime
    kind: str
    product_id: str | None
    payload: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Page:
    """Events in the order of their numbers; after: where to go on."""

    events: Sequence[Event]
    after: int


def read(session: Session, after: int, *, kinds: Collection[str] = (), limit: int = 1000) -> Page:
    """The next events after a number, at most so many; kinds: only these, or all.

    `after` of the page is past events of other kinds, too. Call number_new first, in a transaction
    of its own.
    """
    last = last_number(session)
    statement = (
        select(EventRow.number, EventRow.at, EventRow.kind, EventRow.product_id, EventRow.payload)
        .where(EventRow.number > after, EventRow.number <= last)
        .order_by(EventRow.number)
        .limit(limit)
    )
    if kinds:
        statement = statement.where(EventRow.kind.in_(kinds))
    found = session.execute(statement).all()
    taxonomies = _taxonomies(session, [payload for *_, payload in found])
    events = [
        Event(
            number=number,
            at=at,
            kind=kind,
            product_id=product_id,
            payload=taxonomies.get(payload.get("model_version"), {}) | payload,
        )
        for number, at, kind, product_id, payload in found
    ]
    return Page(events=events, after=events[-1].number if len(found) == limit else max(after, last))


def require_kept(session: Session, after: int) -> None:
    """Make sure that nothing after this number is gone; 0 asks for all that is kept.

    Raises:
        EventsGoneError: it is older than what is kept.
        CursorError: it has not been given out yet, as after a restored backup.
    """
    last = last_number(session)
    if after > last:
        raise CursorError(
            f"Expected the number of an event, at most {last}, received {after}. The database may "
            "have been restored from a backup; read what is in force anew."
        )
    oldest = session.scalar(select(func.min(EventRow.number)))
    first = last + 1 if oldest is None else oldest
    if 0 < after < first - 1:
        raise EventsGoneError(
            f"Events up to {first - 1} are deleted, and you have read up to {after}. Read what is "
            f"in force anew, then go on after {last}."
        )


def last_number(session: Session) -> int:
    """The number of the newest event that readers may see; 0: there was none yet."""
    return session.scalars(select(EventCursor.number).where(EventCursor.name == NUMBERED)).one()


def _taxonomies(session: Session, payloads: Sequence[Mapping[str, Any]]) -> dict[Any, Any]:
    """What labels of machines are ids of, by model version; a person's word says it itself."""
    versions = {each["model_version"] for each in payloads if each.get("model_version")}
    if not versions:
        return {}
    columns = (Model.version, Model.taxonomy_name, Model.taxonomy_version)
    found = session.execute(select(*columns).where(Model.version.in_(versions)))
    return {
        version: {"taxonomy": name, "taxonomy_version": number} for version, name, number in found
    }
