"""Signs of life that outlive their process.

Who is dead is judged by one clock, the database's, and never at a single look: a database that
was away has heard nobody for a while, and the first look after it must not take all for dead.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from db.ledger.models import Heartbeat
from db.upsert import insert

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

RECONCILER = "reconciler"
CHILD = "child"
# A child beats every 5 s, and within 6 s of the return of a database that was away
# (worker/tagging/sign_of_life.py). One that was silent for QUIET is marked, which its next beat
# undoes; it is dead when it has not beaten for CONFIRMED since it was marked. With passes of the
# reconciler every 15 s that is 40 s after its last beat at most.
QUIET = timedelta(seconds=10)
CONFIRMED = timedelta(seconds=12)
# A dead child of a living worker was replaced; its row is kept for so long.
KEPT = timedelta(hours=1)


def beat(session: Session, name: str, kind: str, now: datetime, detail: Mapping[str, Any]) -> None:
    """Write that `name`, of this kind, did its work just now."""
    session.execute(beating(session, name, kind, now, detail))


def beating(
    session: Session, name: str, kind: str, now: datetime, detail: Mapping[str, Any]
) -> "postgresql.Insert | sqlite.Insert":
    """The statement that writes it, for whoever wants an answer from the same round trip."""
    fields = {"name": name, "kind": kind, "beat_at": now, "detail": dict(detail)}
    statement = insert(session, Heartbeat).values(fields)
    return statement.on_conflict_do_update(
        index_elements=[Heartbeat.name],
        set_={"beat_at": statement.excluded.beat_at, "detail": statement.excluded.detail},
    )


def latest(session: Session, kind: str) -> Heartbeat | None:
    """The newest heartbeat of this kind."""
    newest = select(Heartbeat).where(Heartbeat.kind == kind).order_by(Heartbeat.beat_at.desc())
    return session.scalars(newest.limit(1)).first()


def clock(session: Session) -> datetime:
    """What time it is for the database: the hosts' clocks may differ."""
    if session.get_bind().dialect.name != "postgresql":
        return datetime.now(UTC)  # SQLite is on the host of whoever uses it
    now: datetime = session.scalars(select(func.clock_timestamp())).one()
    return now


def beat_child(session: Session, owner: str, queue: str) -> None:
    """Write that the child `owner`, which works on this queue, lives."""
    beat(session, owner, CHILD, clock(session), {"queue": queue})


def forget_child(session: Session, owner: str) -> None:
    """The child has ended as it should."""
    session.execute(delete(Heartbeat).where(Heartbeat.name == owner))


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Who lives, for all that is known, and who is dead; of these, each one's queue."""

    living: Collection[str]
    dead: Mapping[str, str]


def listen(session: Session) -> Workers:
    """Tell the dead workers from the living: those of which no child lives.

    A worker whose children come and go lives; one whose own process is gone has none that beats.
    """
    now = clock(session)
    living: set[str] = set()
    silent: list[Heartbeat] = []
    for child in session.scalars(select(Heartbeat).where(Heartbeat.kind == CHILD)).all():
        if _is_dead(session, child, now):
            silent.append(child)
        else:
            living.add(_worker(child))
    for child in silent:
        if _worker(child) in living and now - child.beat_at > KEPT:
            session.delete(child)
    queues = {_worker(child): child.detail["queue"] for child in silent}
    return Workers(living=living, dead={each: queues[each] for each in queues.keys() - living})


def _worker(child: Heartbeat) -> str:
    return child.name.rsplit(":", 1)[0]


def forget_worker(session: Session, worker: str) -> None:
    """What the worker held was given back."""
    mine = Heartbeat.name.startswith(f"{worker}:", autoescape=True)
    session.execute(delete(Heartbeat).where(Heartbeat.kind == CHILD, mine))


def _is_dead(session: Session, child: Heartbeat, now: datetime) -> bool:
    if now - child.beat_at < QUIET:
        return False
    silent_since = child.detail.get("silent_since")
    if silent_since is not None:
        return now - datetime.fromisoformat(silent_since) >= CONFIRMED
    # Only if it has not beaten since it was read: a mark that stayed would outlast the beat.
    marked = update(Heartbeat).where(
        Heartbeat.name == child.name, Heartbeat.beat_at == child.beat_at
    )
    session.execute(
        marked.values(detail=child.detail | {"silent_since": now.isoformat()}),
        execution_options={"synchronize_session": False},
    )
    return False
