import pytest

from catalog.failures import FailureCode
from catalog.outcomes import Failure
from worker.tagging.retries import RETRY_AFTER_S_MAX, RetryPolicy

POLICY = RetryPolicy(attempts_max=5, backoff_s=10, backoff_s_max=60)


def delays(code: FailureCode, attempt: int, retry_after_s: float | None = None) -> list[float]:
    failure = Failure(code=code, detail="…", retry_after_s=retry_after_s)
    found = [POLICY.delay_s(failure, attempt) for _ in range(200)]
    assert None not in found
    return [each for each in found if each is not None]


@pytest.mark.parametrize(("attempt", "longest"), [(1, 10), (2, 20), (3, 40), (4, 60)])
def test_wait_doubles_up_to_its_limit_and_is_jittered(attempt: int, longest: float) -> None:
    found = delays(FailureCode.FETCH_TIMEOUT, attempt)
    assert longest / 2 <= min(found) < max(found) <= longest
    assert max(found) - min(found) > longest / 4


@pytest.mark.parametrize("code", FailureCode)
def test_permanent_failures_are_final_at_once(code: FailureCode) -> None:
    wait = POLICY.delay_s(Failure(code=code, detail="…"), 1)
    assert (wait is None) == (not code.transient)


def test_attempts_are_bounded() -> None:
    assert POLICY.delay_s(Failure(code=FailureCode.FETCH_TIMEOUT, detail="…"), 5) is None


def test_a_host_that_names_a_time_is_left_alone_until_then() -> None:
    found = delays(FailureCode.RATE_LIMITED, 1, retry_after_s=300)
    assert 300 <= min(found) < max(found) <= 330


def test_a_host_cannot_ask_for_more_than_a_day() -> None:
    assert max(delays(FailureCode.RATE_LIMITED, 1, retry_after_s=1e12)) <= 1.1 * RETRY_AFTER_S_MAX
