"""Retry-After, in both its forms and in none."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.fetching.responses import RETRY_AFTER_MAX_S, parse_retry_after

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("999999999", RETRY_AFTER_MAX_S),
        ("9" * 5_000, RETRY_AFTER_MAX_S),
        ("Sun, 01 Mar 2026 12:01:30 GMT", 90.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("Sun, 01 Mar 2099 11:00:00 GMT", RETRY_AFTER_MAX_S),
        (None, None),
        ("", None),
        ("soon", None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", RETRY_AFTER_MAX_S),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0.0),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Mon, 99 Jan 2026 99:99:99 GMT", None),
        ("Sun, 01 Mar 2026 12:01:30 +999999999999", None),
        ("-5", None),
        ("1.5", None),
        ("²", None),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_wait_is_understood_or_ignored(value: str | None, wait_s: float | None) -> None:
    assert parse_retry_after(value, NOW) == wait_s


@given(st.text(max_size=60))
def test_no_header_makes_it_fail_or_wait_for_ever(value: str) -> None:
    wait_s = parse_retry_after(value, NOW)
    assert wait_s is None or 0 <= wait_s <= RETRY_AFTER_MAX_S
