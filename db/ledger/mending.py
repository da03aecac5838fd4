"""Comparing the kept counts with the ledger while it is at work, and making them true."""

from sqlalchemy import Engine

from db.engine import reading, sessions
from db.ledger.counts import Counts, add, differences, one_at_a_time


def check_counts(engine: Engine, *, mend: bool) -> Counts:
    """What is missing in the kept counts, and was added where they are to be mended.

    Both sides are read at one instant, on PostgreSQL in a transaction that nobody waits for; on
    SQLite nobody writes while they are mended. What changes later is added by the triggers, so that
    what was missing then is what is missing still.
    """
    if not mend:
        return _missing(engine)
    with sessions(engine).begin() as session:
        one_at_a_time(session)
        missing = _missing(engine)
        add(session, missing)
    return missing


def _missing(engine: Engine) -> Counts:
    if engine.dialect.name == "postgresql":
        engine = engine.execution_options(isolation_level="REPEATABLE READ")
    with reading(engine)() as session:
        return differences(session)
