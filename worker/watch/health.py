"""Health that tells the truth: not whether a process lives, but whether work gets done."""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import redis
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from catalog.errors import OperatorError
from catalog.queues import BULK_QUEUE, INGEST_QUEUE, UPKEEP_QUEUE
from catalog.redaction import shown_uri
from catalog.settings import Settings
from db.engine import reading, sessions
from db.ledger.heartbeats import RECONCILER, beat, latest
from db.ledger.models import Heartbeat
from db.migrate import require_newest
from db.registry import bundles as registry
from db.webhooks.models import WebhookState
from db.webhooks.registering import standings
from worker.broker import SAFE_EVICTION, connect, eviction_policy, redis_url
from worker.serving import Bundles

# Above the time limit of a batch, within which a child that works shows no new sign of life.
SILENCE_FACTOR = 2.0
# A reconciler that has not passed for so many intervals, and this beside (a pass over long queues
# takes its time), is unhealthy: what is lost or due waits.
RECONCILER_INTERVALS_MAX = 5
RECONCILER_SLACK_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that must be true; detail says what was found."""

    name: str
    healthy: bool
    detail: str


def check_health(chosen: Settings, engine: Engine, queues: tuple[str, ...]) -> list[Check]:
    """Every check that concerns workers of these queues; `upkeep` stands for the reconciler."""
    checks = [
        _checked("broker", lambda: _broker(chosen)),
        _checked("database", lambda: _database(engine)),
        _checked("bundle", lambda: _bundle(chosen, engine)),
    ]
    for queue in queues:
        if queue == UPKEEP_QUEUE:
            checks.append(_checked("reconciler", lambda: _reconciler(chosen, engine)))
            if set(queues) == set(all_queues()):
                # Not where upkeep alone is asked for: a container must not be taken for broken, as
                # somebody else's server is.
                checks.append(_checked("webhooks", lambda: _webhooks(engine)))
        else:
            checks.append(_checked(queue, lambda queue=queue: _consumed(chosen, engine, queue)))  # type: ignore[misc]
    return checks


def all_queues() -> tuple[str, ...]:
    return (INGEST_QUEUE, BULK_QUEUE, UPKEEP_QUEUE)


class UnhealthyError(Exception):
    """What was found instead of health."""


def _checked(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name=name, healthy=True, detail=check())
    except (UnhealthyError, OperatorError, redis.RedisError, SQLAlchemyError) as error:
        return Check(name=name, healthy=False, detail=str(error).splitlines()[0])


def _broker(chosen: Settings) -> str:
    client = connect(redis_url(chosen))
    policy = eviction_policy(client)
    if policy not in (None, SAFE_EVICTION):
        raise UnhealthyError(f"it may forget messages: maxmemory-policy is {policy}")
    # PING is answered even where every write is refused.
    client.set("tagger.health", "written", ex=60)
    return "takes writes, forgets nothing"


def _database(engine: Engine) -> str:
    require_newest(engine)
    name = f"health@{socket.gethostname()}"[:128]
    with sessions(engine).begin() as session:
        beat(session, name, "health", datetime.now(UTC), {})
    return "takes writes, schema is the newest"


def _bundle(chosen: Settings, engine: Engine) -> str:
    """What serves verifies here, and no worker refuses what it should use."""
    with reading(engine)() as session:
        held = registry.roles(session)
        refused = [each for each in registry.refusals(session) if each.sha256 in held.in_use]
    if refused:
        first = refused[0]
        raise UnhealthyError(
            f"{len(refused)} refused, others do its work: {first.sha256[:12]} by "
            f"{first.worker}: {first.reason}"
        )
    sha256 = held.serving.sha256
    version = Bundles(chosen).load(sha256).manifest.model_version
    return f"{version} verifies" if sha256 is None else f"{version} verifies, promoted"


def _consumed(chosen: Settings, engine: Engine, queue: str) -> str:
    """Consumed lately, or nothing to consume.

    A worker may live, hold its connection and take no message (as Celery does after some
    reconnects): only what it did in the ledger counts.
    """
    waiting = int(connect(redis_url(chosen)).llen(queue))
    with reading(engine)() as session:
        newest = latest(session, queue)
        model = newest.detail.get("model", "?") if newest else None
        silent_s = _age_s(newest)
    if not waiting:
        return "the queue is empty"
    limit_s = SILENCE_FACTOR * chosen.batch_time_limit_s
    if silent_s is None or silent_s > limit_s:
        since = "no batch was ever begun" if silent_s is None else f"none for {silent_s:.0f} s"
        raise UnhealthyError(f"{waiting} messages wait and nobody takes them: {since}")
    return f"{waiting} messages wait, a batch was begun {silent_s:.0f} s ago with {model}"


def _reconciler(chosen: Settings, engine: Engine) -> str:
    with reading(engine)() as session:
        age_s = _age_s(latest(session, RECONCILER))
    limit_s = RECONCILER_INTERVALS_MAX * chosen.reconcile_interval_s + RECONCILER_SLACK_S
    if age_s is None or age_s > limit_s:
        since = "it never ran" if age_s is None else f"it last ran {age_s:.0f} s ago"
        raise UnhealthyError(f"{since}; expected every {chosen.reconcile_interval_s:.0f} s")
    return f"ran {age_s:.0f} s ago"


def _webhooks(engine: Engine) -> str:
    """None has stopped; one that a person paused is as it should be."""
    with reading(engine)() as session:
        found = standings(session)
    stopped = [each for each in found if each.state is WebhookState.STOPPED]
    if stopped:
        first = stopped[0]
        raise UnhealthyError(
            f"{len(stopped)} of {len(found)} stopped: number {first.id} to "
            f"{shown_uri(first.url)}: {first.reason}"
        )
    failing = [each.id for each in found if each.failing_since]
    return f"{len(found)}, failing and tried again: {len(failing)}" if found else "there are none"


def _age_s(heartbeat: Heartbeat | None) -> float | None:
    return (datetime.now(UTC) - heartbeat.beat_at).total_seconds() if heartbeat else None
