"""What a worker checks before it takes its first message."""

import math
from typing import Any

import redis
from celery import bootsteps
from sqlalchemy.exc import DBAPIError

from catalog.errors import OperatorError, SettingsError
from catalog.queues import INGEST_QUEUE
from catalog.settings import Settings, settings, variable
from db.engine import make_engine
from db.migrate import require_newest
from worker.broker import SAFE_EVICTION, connect, eviction_policy, redis_url, version
from worker.serving import load_serving_bundle
from worker.watch import metrics

# Chunks that a child reserves: one at work, one whose pictures it fetches meanwhile, and one that
# is at hand when the first ends. More would wait behind slow ones while other workers idle.
BULK_PREFETCH_MULTIPLIER = 3
BROKER_VERSION_MIN = (6, 2)  # BLMOVE; see worker/taking.py


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
            require_time_limits(chosen, queues, parent.prefetch_multiplier)
            _require_bundle_and_schema(chosen)
            _require_faithful_broker(chosen)
            for queue in queues:
                metrics.clear(chosen, queue)
        except (OperatorError, DBAPIError) as error:
            raise SystemExit(f"Refusing to start: {error}") from error
        super().__init__(parent, **options)


def _require_bundle_and_schema(chosen: Settings) -> None:
    load_serving_bundle(chosen.bundle)
    engine = make_engine(chosen.database)
    try:
        require_newest(engine)
    finally:
        engine.dispose()  # nothing that was opened here may be shared with a forked child


def require_time_limits(chosen: Settings, queues: set[str], prefetch: int) -> None:
    """Raise SettingsError unless a batch's time limit fits its fetches and the broker's patience.

    A message waits at most for the batches that were reserved before it, and then for its own: if
    the broker gave it to another worker meanwhile, everything would be done twice.
    """
    least = 2 * chosen.fetch_timeout_s
    if chosen.batch_time_limit_s < least:
        raise SettingsError(
            f"{variable('batch_time_limit_s')}={chosen.batch_time_limit_s:g}: with "
            f"{variable('fetch_timeout_s')}={chosen.fetch_timeout_s:g}, one slow host would look "
            f"like a picture that hangs. Raise it to {least:g}, or lower the fetch timeout."
        )
    messages = chosen.batch_size if INGEST_QUEUE in queues else 1
    batches = math.ceil(prefetch / messages) + 1
    worst_s = math.ceil(batches * chosen.batch_time_limit_s)
    if chosen.visibility_timeout_s < worst_s:
        raise SettingsError(
            f"{variable('visibility_timeout_s')}={chosen.visibility_timeout_s}: the worst batch "
            f"takes {worst_s} s ({batches} times {variable('batch_time_limit_s')}="
            f"{chosen.batch_time_limit_s:g}), and the broker would deliver it again meanwhile. "
            f"Raise it to {worst_s} at least."
        )


def _require_faithful_broker(chosen: Settings) -> None:
    """A broker that is away is waited for, later; one that is too old or evicts is refused."""
    client = connect(redis_url(chosen))
    try:
        found, policy = version(client), eviction_policy(client)
    except redis.RedisError:
        return
    require_version(found)
    if policy not in (None, SAFE_EVICTION):
        raise SettingsError(
            f"maxmemory-policy={policy}: the broker would forget messages when its memory is "
            f"full. Set it to {SAFE_EVICTION} (CONFIG SET maxmemory-policy {SAFE_EVICTION})."
        )


def require_version(found: tuple[int, ...] | None) -> None:
    """Raise SettingsError of a broker that is too old for worker/taking.py."""
    if found is not None and found < BROKER_VERSION_MIN:
        raise SettingsError(
            f"REDIS_URL: the broker is Redis {'.'.join(map(str, found))}; workers take messages "
            f"with commands of Redis {'.'.join(map(str, BROKER_VERSION_MIN))} and newer."
        )


def prefetch_multiplier(chosen: Settings, queues: set[str], processes: int) -> int:
    """How many messages each child may reserve.

    A batch fills only while its messages are reserved: with fewer than batch_size for each child
    and one batch more in the making, every flush would wait for the timer. By itself it takes two
    batches more for each child, as of chunks: the one whose pictures are fetched while another is
    at work, and one at hand when that ends, for the next to be foreseen at once.

    Raises:
        SettingsError: TAGGER_PREFETCH_MULTIPLIER is below that.
    """
    if INGEST_QUEUE not in queues:
        return chosen.prefetch_multiplier or BULK_PREFETCH_MULTIPLIER
    needed = math.ceil(chosen.batch_size * (processes + 1) / processes)
    if chosen.prefetch_multiplier is None:
        return needed + 2 * chosen.batch_size
    if chosen.prefetch_multiplier < needed:
        raise SettingsError(
            f"{variable('prefetch_multiplier')}={chosen.prefetch_multiplier}: with "
            f"{variable('batch_size')}={chosen.batch_size} and {processes} processes, batches "
            f"fill only from {needed} on. Raise it to {needed} or unset it."
        )
    return chosen.prefetch_multiplier
