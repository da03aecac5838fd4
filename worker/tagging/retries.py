"""When a passing failure is tried again."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from catalog.outcomes import Failure, Outcome
from catalog.settings import Settings
from db.ledger.attempts import Attempt

# A host may ask for any patience; a day is as much as a catalog can give.
RETRY_AFTER_S_MAX = 86_400.0


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """Exponential backoff with full jitter above one half, and a bounded number of attempts."""

    attempts_max: int
    backoff_s: float
    backoff_s_max: float

    @classmethod
    def of(cls, chosen: Settings) -> "RetryPolicy":
        return cls(
            attempts_max=chosen.attempts_max,
            backoff_s=chosen.retry_backoff_s,
            backoff_s_max=chosen.retry_backoff_max_s,
        )

    def delay_s(self, failure: Failure, attempt_number: int) -> float | None:
        """Seconds until the next attempt; None when the failure is final.

        A host's Retry-After is kept to, with up to a tenth added, so that those it sent away
        together do not come back together.
        """
        if not failure.code.transient or attempt_number >= self.attempts_max:
            return None
        doubled = self.backoff_s * 2.0 ** min(attempt_number - 1, 30)
        wait = min(doubled, self.backoff_s_max) * random.uniform(0.5, 1.0)  # noqa: S311
        asked = min(failure.retry_after_s or 0.0, RETRY_AFTER_S_MAX) * random.uniform(1.0, 1.1)  # noqa: S311
        return max(wait, asked)

    def plan(
        self, outcomes: Sequence[Outcome], attempts: Mapping[str, Attempt], now: datetime
    ) -> dict[str, datetime]:
        """When to try the failed products again, by product id; final failures are left out."""
        planned = {}
        for outcome in outcomes:
            attempt = attempts.get(outcome.subject)
            if isinstance(outcome.result, Failure) and attempt is not None:
                wait = self.delay_s(outcome.result, attempt.number)
                if wait is not None:
                    planned[outcome.subject] = now + timedelta(seconds=wait)
        return planned


@dataclass(frozen=True, kw_only=True)
class FetchPatience:
    """How long a batch waits for a picture when nothing else comes, by the attempt's number.

    One slow host must not hold a whole batch: the first attempts are short ones, and each is three
    times as patient as the one before. The last one waits as long as a fetch may take.
    """

    first_s: float
    longest_s: float
    attempts_max: int

    @classmethod
    def of(cls, chosen: Settings) -> "FetchPatience":
        return cls(
            first_s=chosen.fetch_patience_s,
            longest_s=chosen.fetch_timeout_s,
            attempts_max=chosen.attempts_max,
        )

    def seconds(self, attempt_number: int) -> float:
        """Seconds without any arrival after which the picture is left to a later batch."""
        if attempt_number >= self.attempts_max:
            return self.longest_s
        return min(self.first_s * 3.0 ** min(attempt_number - 1, 30), self.longest_s)
