"""How often one person may ask: token buckets, kept in this process."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

KEYS_MAX = 10_000


@dataclass(frozen=True, kw_only=True)
class Rate:
    """`per_second` on average, `burst` at once."""

    per_second: float
    burst: int


@dataclass(frozen=True, kw_only=True)
class Rates:
    """The limits of the desk. Sign-ins count by address, everything else by person or token."""

    api: Rate = Rate(per_second=50, burst=400)
    pictures: Rate = Rate(per_second=200, burst=1000)
    services: Rate = Rate(per_second=20, burst=200)
    sign_in: Rate = Rate(per_second=1 / 12, burst=5)
    sign_in_all: Rate = Rate(per_second=1, burst=30)


class Limiter:
    """Buckets of one rate by key; the key used longest ago is forgotten first."""

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait_s(self, key: str) -> int:
        """0 when the key may go on, which takes a token; otherwise the seconds until it may."""
        with self._lock:
            now = self._clock()
            left, since = self._buckets.pop(key, (float(self._rate.burst), now))
            left = min(self._rate.burst, left + (now - since) * self._rate.per_second)
            allowed = left >= 1
            self._buckets[key] = (left - 1 if allowed else left, now)
            if len(self._buckets) > KEYS_MAX:
                self._buckets.popitem(last=False)
        return 0 if allowed else max(1, math.ceil((1 - left) / self._rate.per_second))
