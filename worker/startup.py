"""What a worker checks before it takes its first message."""

import math
from typing import Any

from celery import bootsteps
from sqlalchemy.exc import DBAPIError

from catalog.bundle import load_bundle
from catalog.errors import OperatorError
from catalog.jobs import INGEST_QUEUE
from catalog.settings import Settings, SettingsError, settings, variable
from db.engine import make_engine
from db.migrate import require_newest
from worker.preprocessing import require_same_preprocessing

BULK_PREFETCH_MULTIPLIER = 2


class RefuseUnsafeSettings(bootsteps.Step):  # type: ignore[misc]
    """Refuses to start a worker that could starve its batches or could not store its results."""

    label = "Refuse unsafe settings"

    def __init__(self, parent: Any, **options: Any) -> None:
        queues = set(parent.app.amqp.queues.consume_from)
        try:
            chosen = settings()
            parent.prefetch_multiplier = prefetch_multiplier(
                chosen, queues, int(parent.concurrency)
            )
            _require_bundle_and_schema(chosen)
        except (OperatorError, DBAPIError) as error:
            raise SystemExit(f"Refusing to start: {error}") from error
        super().__init__(parent, **options)


def _require_bundle_and_schema(chosen: Settings) -> None:
    require_same_preprocessing(load_bundle(chosen.bundle).manifest)
    engine = make_engine(chosen.database)
    try:
        require_newest(engine)
    finally:
        engine.dispose()  # nothing that was opened here may be shared with a forked child


def prefetch_multiplier(chosen: Settings, queues: set[str], processes: int) -> int:
    """How many messages each child may reserve.

    A batch fills only while its messages are reserved: with fewer than batch_size for each child
    and one batch more in the making, every flush would wait for the timer.

    Raises:
        SettingsError: TAGGER_PREFETCH_MULTIPLIER is below that.
    """
    if INGEST_QUEUE not in queues:
        return chosen.prefetch_multiplier or BULK_PREFETCH_MULTIPLIER
    needed = math.ceil(chosen.batch_size * (processes + 1) / processes)
    if chosen.prefetch_multiplier is None:
        return needed
    if chosen.prefetch_multiplier < needed:
        raise SettingsError(
            f"{variable('prefetch_multiplier')}={chosen.prefetch_multiplier}: with "
            f"{variable('batch_size')}={chosen.batch_size} and {processes} processes, batches "
            f"fill only from {needed} on. Raise it to {needed} or unset it."
        )
    return chosen.prefetch_multiplier
