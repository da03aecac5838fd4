"""Counts that the database keeps itself, so that nobody counts a million products to look at them.

Triggers add to them in the transaction of what is counted (migration kept_counts): whoever changes
a product or a dead letter, by whatever statement, cannot forget to. On PostgreSQL each backend adds
to rows of its own, its `shard`, so that no row is hot; SQLite has one writer and one shard.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from enum import StrEnum

from sqlalchemy import Select, delete, func, literal_column, select, tuple_
from sqlalchemy.orm import Session

from db.ledger.models import FailureRow, KeptCount, Product, Tagging
from db.upsert import insert

# Shards that are gathered into one: one for each connection there ever was, in between.
SHARDS_MAX = 64
# Of two that gather or mend at once the second waits: PostgreSQL's advisory lock of this number.
LOCK = 0x7A66E2


class CountKind(StrEnum):
    """What is counted."""

    STATUS = "status"  # products
    LABEL = "label"  # these four: current taggings
    MODEL = "model"
    NETWORK = "network"
    REASON = "reason"  # of being flagged; a tagging may have several
    FAILURE = "failure"  # dead letters, by reason code


Counts = Mapping[CountKind, Mapping[str, int]]


def kept(session: Session) -> Counts:
    """The counts as they are kept, largest first; what is zero is left out."""
    number = func.sum(KeptCount.n)
    found = session.execute(
        select(KeptCount.kind, KeptCount.name, number)
        .group_by(KeptCount.kind, KeptCount.name)
        .having(number != 0)
        .order_by(number.desc(), KeptCount.name)
    )
    return _by_kind((kind, name, int(n)) for kind, name, n in found)


def counted(session: Session) -> Counts:
    """The same, counted anew: reads every product and its tagging."""
    current = select(Tagging).join(Product, Product.current_tagging_id == Tagging.id).subquery()
    columns = {
        CountKind.STATUS: Product.status,
        CountKind.LABEL: current.c.label,
        CountKind.MODEL: current.c.model_version,
        CountKind.NETWORK: current.c.network,
        CountKind.FAILURE: FailureRow.reason_code,
    }
    statements = {kind: _by(column) for kind, column in columns.items()}
    statements[CountKind.REASON] = _by_flag_reason(session)
    return _by_kind(
        (kind, str(name), n)
        for kind, statement in statements.items()
        for name, n in session.execute(statement)
    )


def differences(session: Session) -> Counts:
    """What is missing in the kept counts (below zero: what is too much).

    Both sides must be of one instant: on SQLite any transaction sees one, on PostgreSQL one of
    REPEATABLE READ.
    """
    true, found = counted(session), kept(session)
    return _by_kind(
        (kind, name, off)
        for kind in CountKind
        for name in {*true[kind], *found[kind]}
        if (off := true[kind].get(name, 0) - found[kind].get(name, 0))
    )


def add(session: Session, missing: Counts) -> None:
    """Add to the kept counts what `differences` has found."""
    rows = [
        {"kind": kind, "name": name, "shard": 0, "n": n}
        for kind, names in sorted(missing.items())
        for name, n in sorted(names.items())
    ]
    if rows:
        statement = insert(session, KeptCount)
        whole = {"n": KeptCount.n + statement.excluded.n}
        key = [KeptCount.kind, KeptCount.name, KeptCount.shard]
        session.execute(statement.on_conflict_do_update(index_elements=key, set_=whole), rows)


def one_at_a_time(session: Session) -> None:
    """Wait until no other transaction gathers or mends; on SQLite no two write at once anyway."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(LOCK)))


def gather(session: Session) -> int:
    """Bring the shards of backends together once they are many; return how many rows went.

    A row that a transaction is just adding to is passed over, and gathered next time.
    """
    shards = select(func.count(KeptCount.shard.distinct())).where(KeptCount.shard != 0)
    if (session.scalar(shards) or 0) <= SHARDS_MAX:
        return 0
    one_at_a_time(session)
    key = (KeptCount.kind, KeptCount.name, KeptCount.shard)
    free = select(*key).where(KeptCount.shard != 0).with_for_update(skip_locked=True)
    gone = session.execute(
        delete(KeptCount)
        .where(tuple_(*key).in_(free))
        .returning(KeptCount.kind, KeptCount.name, KeptCount.n)
        .execution_options(synchronize_session=False)
    ).all()
    sums: dict[CountKind, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for kind, name, n in gone:
        sums[CountKind(kind)][name] += n
    add(session, sums)
    return len(gone)


def _by(column: object) -> Select[str, int]:
    return select(column, func.count()).group_by(column)  # type: ignore[call-overload,no-any-return]


def _by_flag_reason(session: Session) -> Select[str, int]:
    expand = (
        func.json_array_elements_text(Tagging.reasons)
        if session.get_bind().dialect.name == "postgresql"
        else func.json_each(Tagging.reasons)
    )
    reason = expand.table_valued("value", name="reason")
    value: object = literal_column("reason.value")
    statement = select(value, func.count()).select_from(Product)  # type: ignore[call-overload]
    statement = statement.join(Tagging, Product.current_tagging_id == Tagging.id)
    return statement.join(reason, literal_column("true")).group_by(value)  # type: ignore[no-any-return]


def _by_kind(found: Iterable[tuple[str, str, int]]) -> dict[CountKind, dict[str, int]]:
    kinds: dict[CountKind, dict[str, int]] = {kind: {} for kind in CountKind}
    for kind, name, n in found:
        kinds[CountKind(kind)][name] = n
    return kinds
