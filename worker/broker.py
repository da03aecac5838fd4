"""Where the broker is: REDIS_URL, or the embedded one in the home folder."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from catalog.errors import OperatorError

if TYPE_CHECKING:
    import redis

    from catalog.places import Places
    from catalog.settings import Settings

ADDRESS_FILE = "address"
SAFE_EVICTION = "noeviction"


class BrokerError(OperatorError):
    """There is no broker to talk to."""


def redis_url(settings: "Settings | Places") -> str:
    """The broker's address as redis-py writes it.

    Raises:
        BrokerError: REDIS_URL is unset and no embedded broker was ever started here.
    """
    if settings.redis_url is not None:
        return settings.redis_url
    address = settings.queue_folder / ADDRESS_FILE
    try:
        return address.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise BrokerError(
            f"Expected a broker: REDIS_URL is not set and no embedded one has been started in "
            f"{settings.queue_folder}. Run `tagger up`, or set REDIS_URL."
        ) from None


def celery_url(url: str) -> str:
    """The same address as kombu writes it: unix:///path becomes redis+socket:///path."""
    return url.replace("unix://", "redis+socket://", 1) if url.startswith("unix://") else url


def socket_url(path: Path) -> str:
    """The address of a broker that listens on a Unix socket."""
    return f"unix://{path}"


def connect(url: str) -> "redis.Redis":
    """A client of the broker itself, for depths and health."""
    import redis  # some 60 ms: not for whoever only wants to know where the broker is

    return redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5)


def depths(client: "redis.Redis", queues: tuple[str, ...]) -> dict[str, int]:
    """How many messages wait in each queue, unacknowledged ones not counted."""
    pipeline = client.pipeline(transaction=False)
    for queue in queues:
        pipeline.llen(queue)
    return dict(zip(queues, map(int, pipeline.execute()), strict=True))


def eviction_policy(client: "redis.Redis") -> str | None:
    """What the broker does when its memory is full; None where it does not say.

    From INFO, as managed brokers forbid CONFIG.
    """
    found = client.info("memory").get("maxmemory_policy")
    return None if found is None else str(found)


def version(client: "redis.Redis") -> tuple[int, ...] | None:
    """Which Redis the broker is, or is like; None where it does not say."""
    found = client.info("server").get("redis_version")
    return None if found is None else tuple(map(int, re.findall(r"\d+", str(found))))
