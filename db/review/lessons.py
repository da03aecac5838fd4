"""What people decided about an item helps what looks like it: those that are called otherwise by
the machine come first, with a hint of what people said.

Nothing is searched in full. Look-alikes mostly share one of a few buckets (db/review/value.py). A
decision looks at so many waiting items of each; what arrives later is compared with the newest few
decided ones of its own, which are kept apart (Lesson). Which likeness is near enough is the
network's own measure, so that without one nothing is taught. What the network says of both is not
asked: that is what is in doubt.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select, union_all, update
from sqlalchemy.orm import Session

from catalog.networks import NetworkName
from catalog.taxonomy.reserved import BAD_IMAGE
from db.ledger.models import Tagging
from db.review.look_alikes import Likeness, Look
from db.review.models import Lesson, ReviewItem, WaitsFor
from db.review.value import near_buckets
from db.upsert import insert

SLOTS = 4  # lessons of one bucket and network; newer ones take the place of older ones
PROBES, LOOKED_AT = 8, 50  # buckets that a decision looks into; waiting items of each
HINTED_MAX = 48  # by one decision: each row stands in eight indexes
ARRIVAL_PROBES = 4  # buckets whose lessons an arriving item is compared with


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """An item that is about to wait: what the machine calls it, and who saw it."""

    label: str
    embedding: bytes
    model_version: str
    network: str


@dataclass(frozen=True, kw_only=True)
class Hint:
    """What people called a look-alike, and which it was."""

    label: str
    tagging_id: int


def teach(session: Session, item: ReviewItem, network: str, label: str | None) -> None:
    """Let those that look like this item know what people call it now; None: nothing any more.

    The item's row is locked. Rows that somebody else is just taking or deciding are passed over: no
    two decisions wait for each other.
    """
    forget(session, item.tagging_id)
    likeness = Likeness.of(session, item.model_version, network)
    wanted = label not in (None, BAD_IMAGE) and item.embedding.strip(b"\0")
    if label is None or not wanted or likeness.least is None:
        return
    buckets = near_buckets(item.embedding, NetworkName(network), PROBES)
    _keep(session, item, network, label, buckets[0])
    near = likeness.nearest(Look.of(item), _waiting(session, item, label, buckets))
    if not near:
        return
    free = (
        select(ReviewItem.tagging_id)
        .join(Tagging, Tagging.id == ReviewItem.tagging_id)
        .where(ReviewItem.tagging_id.in_(near[:HINTED_MAX]), ReviewItem.hint.is_(None), _WAITS)
        .where(Tagging.network == network)
        .with_for_update(of=ReviewItem, skip_locked=True)
    )
    session.execute(
        update(ReviewItem)
        .where(ReviewItem.tagging_id.in_(session.scalars(free).all()))
        .values(hint=label, hint_from=item.tagging_id, value=ReviewItem.value + 1)
        .execution_options(synchronize_session=False)
    )


def forget(session: Session, tagging_id: int) -> None:
    """Take back what this item taught, and the hint that it had itself: it waits no more."""
    session.execute(delete(Lesson).where(Lesson.tagging_id == tagging_id))
    mine = (ReviewItem.hint_from == tagging_id, ReviewItem.tagging_id == tagging_id)
    for condition in mine:
        session.execute(
            update(ReviewItem)
            .where(condition, ReviewItem.hint.is_not(None))
            .values(hint=None, hint_from=None, value=ReviewItem.value - 1)
            # What the session holds is told without asking the database again.
            .execution_options(synchronize_session="evaluate")
        )


def forget_all(session: Session) -> None:
    """Another taxonomy is in force: what people said was of the earlier one."""
    session.execute(delete(Lesson))
    session.execute(
        update(ReviewItem)
        .where(ReviewItem.hint_from.is_not(None))
        .values(hint=None, hint_from=None, value=ReviewItem.value - 1)
        .execution_options(synchronize_session=False)
    )


def hints_for(session: Session, arrivals: Sequence[Arrival]) -> list[Hint | None]:
    """What people said of the nearest lesson of each, where that is not what the machine says."""
    own = [_buckets(each) for each in arrivals]
    wanted = {number for numbers in own for number in numbers}
    versions = {each.model_version for each in arrivals}
    lessons = session.scalars(
        select(Lesson).where(Lesson.model_version.in_(versions), Lesson.bucket.in_(wanted))
    ).all()
    likeness = {
        key: Likeness.of(session, *key)
        for key in {(each.model_version, each.network) for each in lessons}
    }
    found: list[Hint | None] = []
    for arrival, numbers in zip(arrivals, own, strict=True):
        key = arrival.model_version, arrival.network
        mine = {
            each.tagging_id: each
            for each in lessons
            if (each.model_version, each.network) == key and each.bucket in numbers
        }
        near = (
            likeness[key].nearest(_arriving(arrival), list(map(_taught, mine.values())))
            if mine
            else []
        )
        nearest = mine[near[0]] if near else None
        other = nearest is not None and nearest.label != arrival.label
        found.append(
            Hint(label=nearest.label, tagging_id=nearest.tagging_id) if nearest and other else None
        )
    return found


_WAITS = (ReviewItem.waits_for == WaitsFor.REVIEWER) & (ReviewItem.round == 1)


def _waiting(session: Session, item: ReviewItem, label: str, buckets: Sequence[int]) -> list[Look]:
    """Waiting items of these buckets that the same model calls otherwise."""
    columns = (ReviewItem.tagging_id, ReviewItem.embedding, ReviewItem.label)
    # A scan of the index for each bucket, that ends as soon as it has enough.
    each = [
        select(*columns)
        .where(
            ReviewItem.bucket == number,
            _WAITS,
            ReviewItem.model_version == item.model_version,
            ReviewItem.label != label,
            ReviewItem.hint.is_(None),
            ReviewItem.tagging_id != item.tagging_id,
        )
        .limit(LOOKED_AT)
        .subquery()
        for number in buckets
    ]
    rows = session.execute(union_all(*(select(part) for part in each)))
    return [Look.of(row) for row in rows]


def _keep(session: Session, item: ReviewItem, network: str, label: str, bucket: int) -> None:
    row = {
        "model_version": item.model_version,
        "network": network,
        "bucket": bucket,
        "slot": item.tagging_id % SLOTS,
        "product_id": item.product_id,
        "tagging_id": item.tagging_id,
        "machine_label": item.label,
        "label": label,
        "embedding": item.embedding,
    }
    statement = insert(session, Lesson).values(row)
    key = ("model_version", "network", "bucket", "slot")
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[getattr(Lesson, name) for name in key],
            set_={name: statement.excluded[name] for name in row if name not in key},
        )
    )


def _buckets(arrival: Arrival) -> list[int]:
    if not arrival.embedding.strip(b"\0"):
        return []
    return near_buckets(arrival.embedding, NetworkName(arrival.network), ARRIVAL_PROBES)


def _taught(lesson: Lesson) -> Look:
    return Look(
        tagging_id=lesson.tagging_id, embedding=lesson.embedding, label=lesson.machine_label
    )


def _arriving(arrival: Arrival) -> Look:
    return Look(tagging_id=0, embedding=arrival.embedding, label=arrival.label)
