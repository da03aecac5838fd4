"""How many connections at once an image host bears: found out, and followed as it changes.

Additive increase, multiplicative decrease, as TCP does it (Chiu and Jain 1989): one more after each
round of answers that used all there were, half as many more as long as a new host has shown no
limit (slow start); half as many where the host says that it is too much, or does not answer; a
quarter less where its answers become slow, as its queue has become long (the idea of TCP Vegas,
Brakmo and Peterson 1995). Where two steps down do not make its answers quicker, it was not this
queue that made them slow, and so they are expected to be. Nothing here looks at a clock or at a
socket.
"""

# Where a host that is not known yet begins, if the cap is not below it.
START = 8
REFUSED_FACTOR = 0.5
SLOW_FACTOR = 0.75
# The quickest answer of a round, beside the host's best: slower than this many times it, and by
# more than jitter, and the host queues. The quickest, as a new connection's first answer includes
# its handshake, and one of many may be held up by anything.
SLOW_MIN = 2.0
JITTER_S = 0.03
# Two steps down leave 0.56 of the connections, and as much of what time they cost each other; above
# this share of it the time comes from elsewhere.
STILL_SLOW = 0.75
START_FACTOR = 1.5
# So long is a host's best remembered. Then it is measured anew, with few connections: a host that
# became slower for good would be kept from growing, and one that is measured under load would grow.
BEST_FOR_S = 600.0


class HostPace:
    """The limit of one host's connections; not thread-safe, its owner holds a lock."""

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._limit = float(min(START, cap))
        self._lowered_at = float("-inf")
        self._best = float("inf")
        self._best_until: float | None = None
        self._is_starting = True
        self._slow: list[float] = []  # the quickest answers of rounds that were slow, in a row
        self._quickest, self._answers, self._full = float("inf"), 0, False

    @property
    def limit(self) -> int:
        """Connections that may be busy at once: 1 to the cap."""
        return int(self._limit)

    def answered(self, *, began: float, now: float, busy: int) -> None:
        """Take note of an answer to a request that began then; `busy` is how many were open."""
        self._quickest = min(self._quickest, now - began)
        self._full = self._full or busy >= self.limit
        self._answers += 1
        if self._answers < self.limit:
            return
        quickest, full = self._quickest, self._full
        self._begin_round()
        if self._best_until is None or now >= self._best_until:
            self._forget_best(now)
        if began < self._lowered_at:
            return  # it may have waited behind more than are open now
        self._best = min(self._best, quickest)
        if quickest > SLOW_MIN * self._best + JITTER_S:
            self._slow_down(quickest, began, now)
            return
        self._slow.clear()
        if full:
            more = self._limit * START_FACTOR if self._is_starting else self._limit + 1
            self._limit = min(more, self._cap)

    def refused(self, *, began: float, now: float) -> None:
        """Take note that the host said it is too much, or said nothing."""
        self._lower(REFUSED_FACTOR, began, now)
        self._begin_round()

    def _slow_down(self, quickest: float, began: float, now: float) -> None:
        self._slow.append(quickest)
        if len(self._slow) > 2 and quickest > STILL_SLOW * self._slow[-3]:
            self._best = quickest
            self._slow.clear()
        else:
            self._lower(SLOW_FACTOR, began, now)

    def _lower(self, factor: float, began: float, now: float) -> None:
        # What was on its way when it was lowered last says nothing of the lower limit.
        if began >= self._lowered_at:
            self._limit = max(1.0, self._limit * factor)
            self._lowered_at = now
            self._is_starting = False

    def _forget_best(self, now: float) -> None:
        self._best, self._best_until = float("inf"), now + BEST_FOR_S
        if self._limit > START:
            self._limit, self._lowered_at = float(START), now

    def _begin_round(self) -> None:
        self._quickest, self._answers, self._full = float("inf"), 0, False
