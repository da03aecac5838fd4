"""Cursors come from outside: whatever they say, a page is found or they are refused."""

import base64
import json
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as some
from sqlalchemy.orm import Session

from db.review.filters import CursorError, Order
from db.review.listing import page
from tests.desk import NOON, flag_many

# JSON that is almost a cursor: numbers without bounds, times at the calendar's ends.
TIMES = some.datetimes(timezones=some.just(UTC)).map(datetime.isoformat) | some.sampled_from([
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-05-01T12:00:00", "2026-05-01",
])  # fmt: skip
VALUES = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=8) | TIMES
    | some.sampled_from([10**300, -(10**300), 10**400, 2**63, -(2**63) - 1]),
    lambda inner: some.lists(inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
ORDERS = some.sampled_from(list(Order))
CURSORS = some.text(max_size=40) | some.tuples(ORDERS, VALUES, VALUES).map(
    lambda parts: cursor(*parts)
)


def cursor(*parts: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


@pytest.fixture
def queue(session: Session) -> Session:
    flag_many(session, 5)
    return session


@effort(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(sent=CURSORS, order=ORDERS)
def test_any_cursor_leads_to_a_page_or_is_refused(queue: Session, sent: str, order: Order) -> None:
    try:
        found = page(queue, NOON, order=order, cursor=sent, limit=2)
    except CursorError:
        return
    assert len(found.entries) <= 2


@pytest.mark.parametrize(
    ("order", "value", "item"),
    [
        (Order.LEAST_CONFIDENT, 10**300, 1),
        (Order.LEAST_CONFIDENT, 0.5, -(2**70)),
        (Order.LEAST_CONFIDENT, 0.5, True),
        (Order.MOST_VALUABLE, False, 1),
        (Order.OLDEST, "0001-01-01T00:00:00+14:00", 1),
        (Order.OLDEST, "9999-12-31T23:59:59-14:00", 1),
    ],
)
def test_cursor_that_no_database_could_hold_is_no_mistake_of_the_desk(
    queue: Session, order: Order, value: object, item: int
) -> None:
    sent = cursor(order, value, item)
    try:
        page(queue, NOON, order=order, cursor=sent)
    except CursorError:
        return
    assert value == 10**300, sent  # a number like any other, as far as it goes


def test_nesting_ends_at_the_cursor_not_at_the_stack(queue: Session) -> None:
    deep = base64.urlsafe_b64encode(b"[" * 100_000).decode().rstrip("=")
    with pytest.raises(CursorError, match="Start from the first page"):
        page(queue, NOON, cursor=deep)
