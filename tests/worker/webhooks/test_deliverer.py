"""Events at real receivers: signed, in order, at least once, whatever these do."""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from statistics import median

import pytest
from sqlalchemy import Engine, update
from standardwebhooks import Webhook as Verifier

from catalog.events import EventKind
from catalog.fetching.limits import FetchLimits
from catalog.fetching.posting import Poster
from db.engine import make_engine, reading, sessions
from db.events.models import EventRow
from db.events.numbering import number_new
from db.events.writing import NewEvent, write
from db.webhooks import delivering, registering
from db.webhooks.delivering import BATCH_MAX
from db.webhooks.models import Webhook, WebhookState
from db.webhooks.registering import Standing
from tests.receiver import Handler, Receiver, receiving, wait_until
from worker.webhooks.deliverer import LEASE, Deliverer

LIMITS = FetchLimits(allowed_networks=("127.0.0.0/8",), allowed_ports=("1-65535",))


def happen(engine: Engine, count: int, kind: EventKind = EventKind.TAGGED) -> None:
    """So many events of five products."""
    with sessions(engine).begin() as session:
        now = datetime.now(UTC)
        made = [
            NewEvent(kind=kind, product_id=f"p{number % 5}", payload={"label": "bag"})
            for number in range(count)
        ]
        write(session, made, now)


def hook(engine: Engine, receiver: Receiver, *kinds: EventKind) -> tuple[int, str]:
    with sessions(engine).begin() as session:
        made = registering.add(session, receiver.url, kinds, datetime.now(UTC))
        return made.id, made.secret


def standing(engine: Engine, number: int = 1) -> Standing:
    with reading(engine)() as session:
        return next(each for each in registering.standings(session) if each.id == number)


@contextmanager
def delivering_from(
    engine: Engine, *, timeout_s: float = 10.0, backoff_s: float = 0.05
) -> Iterator[None]:
    deliverer = Deliverer(engine, Poster(LIMITS, timeout_s), backoff_s=backoff_s)
    deliverer.start()
    try:
        yield
    finally:
        deliverer.stop()


def test_events_come_signed_and_in_order(engine: Engine) -> None:
    with receiving() as receiver:
        _, secret = hook(engine, receiver)
        happen(engine, 2 * BATCH_MAX + 30)
        with delivering_from(engine):
            wait_until(lambda: len(receiver.numbers) == 2 * BATCH_MAX + 30)
            happen(engine, 1)
            wait_until(lambda: len(receiver.numbers) == 2 * BATCH_MAX + 31)
    assert receiver.numbers == list(range(1, 2 * BATCH_MAX + 32))
    for post in receiver.taken:
        content = Verifier(secret).verify(post.body, dict(post.headers))
        assert content["type"] == "events"
        assert {each["type"] for each in content["data"]["events"]} == {"tagged"}
    assert len({post.headers["webhook-id"] for post in receiver.taken}) == len(receiver.taken)
    found = standing(engine)
    assert (found.delivered, found.behind, found.reason) == (231, 0, None)


def test_rotated_secret_and_the_former_one_verify(engine: Engine) -> None:
    with receiving() as receiver:
        number, former = hook(engine, receiver)
        with sessions(engine).begin() as session:
            secret = registering.rotate(session, number, datetime.now(UTC))
        happen(engine, 1)
        with delivering_from(engine):
            wait_until(lambda: len(receiver.taken) == 1)
            later = datetime.now(UTC) - timedelta(seconds=1)
            with sessions(engine).begin() as session:
                session.execute(update(Webhook).values(former_until=later))
            happen(engine, 1)
            wait_until(lambda: len(receiver.taken) == 2)
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    both, one = receiver.taken
    for each in (secret, former):
        Verifier(each).verify(both.body, dict(both.headers))
    Verifier(secret).verify(one.body, dict(one.headers))
    with pytest.raises(Exception, match="No matching signature"):
        Verifier(former).verify(one.body, dict(one.headers))


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        (lambda handler: handler.status(500), "found status 500"),
        (lambda handler: handler.status(404), "found status 404"),
        (lambda handler: handler.status(302, Location="https://example.com/"), "redirect"),
        (lambda handler: time.sleep(3), "within 1 s"),
        (lambda handler: handler.nonsense(), "an HTTP response"),
        (lambda handler: None, "an HTTP response"),
    ],
    ids=["500", "404", "redirects", "slow", "nonsense", "hangs up"],
)
def test_receiver_in_trouble_gets_all_of_it_in_order_when_it_is_back(
    engine: Engine, trouble: Callable[[Handler], None], told: str
) -> None:
    """It takes the first batch, then fails three times, in the middle of what is owed."""

    def answer(handler: Handler, number: int) -> None:
        if 1 <= number <= 3:
            trouble(handler)
        else:
            handler.status(200)

    reasons: list[str | None] = []
    with receiving(answer) as receiver:
        hook(engine, receiver)
        happen(engine, BATCH_MAX + 10)
        with delivering_from(engine, timeout_s=1.0):
            wait_until(lambda: len(receiver.posts) > 2)
            happen(engine, 10)  # what happens meanwhile changes no batch that is tried again
            reasons.append(standing(engine).reason)
            wait_until(lambda: len(receiver.numbers) >= BATCH_MAX + 20)
    assert receiver.numbers == list(range(1, BATCH_MAX + 21))
    again = receiver.posts[1:5]
    assert len({post.headers["webhook-id"] for post in again}) == 1
    assert len({post.body for post in again}) == 1
    assert told in (reasons[0] or "")
    assert standing(engine).reason is None


def test_receiver_that_was_down_gets_all_when_it_is_back(engine: Engine) -> None:
    with receiving() as receiver:
        pass  # its port is closed from here on
    number, _ = hook(engine, receiver)
    happen(engine, 5)
    with delivering_from(engine):
        wait_until(lambda: standing(engine).attempts >= 2)
        assert "Expected a connection" in (standing(engine).reason or "")
        with receiving() as back:
            with sessions(engine).begin() as session:
                session.execute(update(Webhook).values(url=back.url))
            wait_until(lambda: back.numbers == [1, 2, 3, 4, 5])
            wait_until(lambda: standing(engine).delivered == 5)
    assert standing(engine, number).failing_since is None


def test_gone_stops_at_once_and_a_person_lets_it_go_on(engine: Engine) -> None:
    with receiving(lambda handler, number: handler.status(204 if number else 410)) as receiver:
        number, _ = hook(engine, receiver)
        happen(engine, 3)
        with delivering_from(engine):
            wait_until(lambda: standing(engine).state is WebhookState.STOPPED)
            assert "says that it is gone" in (standing(engine).reason or "")
            assert len(receiver.posts) == 1
            with sessions(engine).begin() as session:
                registering.resume(session, number)
            wait_until(lambda: receiver.numbers == [1, 2, 3])


def test_three_days_without_success_stop_it(engine: Engine) -> None:
    with receiving(lambda handler, number: handler.status(503)) as receiver:
        hook(engine, receiver)
        happen(engine, 1)
        with delivering_from(engine):
            wait_until(lambda: standing(engine).attempts >= 1)
            with sessions(engine).begin() as session:
                long_ago = datetime.now(UTC) - timedelta(days=3, minutes=1)
                session.execute(update(Webhook).values(failing_since=long_ago))
            wait_until(lambda: standing(engine).state is WebhookState.STOPPED)
    found = standing(engine)
    assert (found.reason or "").startswith("Failing since ")
    assert "found status 503" in (found.reason or "")
    assert found.behind == 1


def test_receiver_is_not_asked_before_it_wants_to_be(engine: Engine) -> None:
    answer = {"Retry_After": "120"}
    with receiving(lambda handler, number: handler.status(429, **answer)) as receiver:
        hook(engine, receiver)
        happen(engine, 1)
        with delivering_from(engine):
            wait_until(lambda: standing(engine).attempts == 1)
            planned = standing(engine).next_attempt_at
            assert planned is not None
            assert 100 < (planned - datetime.now(UTC)).total_seconds() < 140
            time.sleep(1)
            assert len(receiver.posts) == 1


def test_receiver_that_hangs_holds_up_no_other(engine: Engine) -> None:
    """Each post to the one hangs until the other has everything."""
    through = threading.Event()
    with receiving(lambda handler, number: through.wait(30) and None) as slow, receiving() as quick:
        hook(engine, slow)
        hook(engine, quick)
        with delivering_from(engine, timeout_s=30):
            happen(engine, 1)
            wait_until(lambda: len(slow.posts) == 1)
            for number in range(5):
                happen(engine, 1)
                wait_until(lambda number=number: len(quick.numbers) >= number + 2)  # type: ignore[misc]
            assert len(slow.posts) == 1
            through.set()


def test_several_processes_post_nothing_twice(engine: Engine, database_url: str) -> None:
    other = make_engine(database_url)
    with receiving() as receiver:
        hook(engine, receiver)
        with delivering_from(engine), delivering_from(other):
            for _ in range(20):
                happen(engine, 7)
                time.sleep(0.05)
            wait_until(lambda: len(receiver.numbers) >= 140)
            time.sleep(0.5)
    other.dispose()
    assert receiver.numbers == list(range(1, 141))


def test_batch_of_a_process_that_died_comes_again_under_the_same_id(engine: Engine) -> None:
    """It died after the receiver had taken the batch, and before it could say so."""
    with receiving() as receiver:
        number, _ = hook(engine, receiver)
        happen(engine, 3)
        now = datetime.now(UTC)
        with sessions(engine).begin() as session:
            number_new(session)
        with sessions(engine).begin() as session:
            dead = delivering.take(session, number, "dead", now, LEASE)
        assert dead is not None
        happen(engine, 2)
        with sessions(engine).begin() as session:
            number_new(session)
            assert delivering.take(session, number, "other", now, LEASE) is None
            assert delivering.due(session, now) == []
            session.execute(update(Webhook).values(lease_until=now))
        with delivering_from(engine):
            wait_until(lambda: receiver.numbers == [1, 2, 3, 4, 5])
        assert receiver.taken[0].headers["webhook-id"] == dead.message_id
        assert json.loads(receiver.taken[0].body) == dead.content
        with sessions(engine).begin() as session:
            assert not delivering.taken(session, dead, "dead", now)


def test_only_what_was_asked_for_comes(engine: Engine) -> None:
    with receiving() as receiver:
        hook(engine, receiver, EventKind.DECIDED)
        with delivering_from(engine):
            happen(engine, 4)
            wait_until(lambda: standing(engine).behind == 0)
            happen(engine, 2, EventKind.DECIDED)
            happen(engine, 1)
            wait_until(lambda: standing(engine).cursor == 7)
    assert receiver.numbers == [5, 6]


def test_replay_posts_again_as_new_messages(engine: Engine) -> None:
    with receiving() as receiver:
        number, _ = hook(engine, receiver)
        happen(engine, 4)
        with delivering_from(engine):
            wait_until(lambda: len(receiver.numbers) == 4)
            wait_until(lambda: standing(engine).cursor == 4)
            with sessions(engine).begin() as session:
                registering.replay(session, number, 2)
            wait_until(lambda: receiver.numbers == [1, 2, 3, 4, 3, 4])
            with sessions(engine).begin() as session:
                registering.replay(session, number, 0)
            wait_until(lambda: len(receiver.numbers) == 10)
    assert len({post.headers["webhook-id"] for post in receiver.taken}) == 3


def test_events_that_are_gone_are_not_passed_over_in_silence(engine: Engine) -> None:
    with receiving() as receiver:
        number, _ = hook(engine, receiver)
        happen(engine, 2)
        with delivering_from(engine):
            wait_until(lambda: standing(engine).cursor == 2)
        happen(engine, 5)
        with sessions(engine).begin() as session:
            number_new(session)
            session.query(EventRow).where(EventRow.number <= 4).delete()
        with delivering_from(engine):
            wait_until(lambda: standing(engine, number).state is WebhookState.STOPPED)
    assert "Events up to 4 are deleted" in (standing(engine).reason or "")
    assert receiver.numbers == [1, 2]


def test_event_is_there_within_a_second_at_the_median(engine: Engine) -> None:
    waits = []
    with receiving() as receiver:
        hook(engine, receiver)
        with delivering_from(engine):
            happen(engine, 1)
            wait_until(lambda: len(receiver.numbers) == 1)
            for number in range(2, 17):
                began = time.monotonic()
                happen(engine, 1)
                wait_until(lambda number=number: len(receiver.numbers) == number)  # type: ignore[misc]
                waits.append(receiver.posts[-1].at - began)
    assert median(waits) < 1.0


def test_stopping_waits_for_the_post_that_is_on_its_way(engine: Engine) -> None:
    def slowly(handler: Handler, number: int) -> None:
        time.sleep(1)
        handler.status(204)

    with receiving(slowly) as receiver:
        hook(engine, receiver)
        happen(engine, 1)
        with delivering_from(engine):
            wait_until(lambda: len(receiver.posts) == 1)
    assert standing(engine).delivered == 1
