"""`GET /api/v1/events`: at once, with a long poll, and as server-sent events."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, delete

from db.engine import sessions
from db.events.models import EventRow
from db.ledger.recording import record_model
from db.review.decisions import decide
from db.review.models import Action
from db.services import tokens
from db.services.models import Scope
from review import event_watch
from review.desk import Desk
from tests.desk import NOON, decision, item, person
from tests.factories import failed, flagged, manifest, record, tagged
from tests.review.conftest import app_of, browser
from tests.review.server import serving

URL = "/api/v1/events"


@pytest.fixture
def desk(engine: Engine, make_desk: Callable[..., Desk]) -> Desk:
    """On both databases."""
    return make_desk(engine)


@pytest.fixture
def token(desk: Desk) -> str:
    with sessions(desk.engine).begin() as session:
        return tokens.issue(session, tokens.add(session, "shop", [Scope.RESULTS], NOON), NOON)


@pytest.fixture
def shop(desk: Desk, token: str) -> TestClient:
    return TestClient(app_of(desk), headers={"Authorization": f"Bearer {token}"})


def happen(desk: Desk, *outcomes: Any) -> None:
    with sessions(desk.engine).begin() as session:
        record_model(session, manifest(), NOON)
        record(session, outcomes, NOON)


def test_what_became_of_products_comes_in_order_with_all_fields(
    desk: Desk, shop: TestClient
) -> None:
    happen(desk, tagged("p1"))
    happen(desk, flagged("p2"))
    happen(desk, failed("p3"))
    with sessions(desk.engine).begin() as session:
        ada = person(session)
        wanted = decision(session, item(session, "p2").tagging_id, Action.CORRECT, label="Coat")
        decide(session, ada, wanted, NOON)
    answer = shop.get(URL).json()
    found = answer["events"]
    assert [each["id"] for each in found] == [1, 2, 3, 4]
    assert [each["type"] for each in found] == ["tagged", "flagged", "failed", "decided"]
    assert answer["after"] == 4
    assert found[3] == {
        "id": 4,
        "type": "decided",
        "at": "2026-05-01T12:00:00+00:00",
        "product_id": "p2",
        "state": "reviewed",
        "label": "coat",
        "confidence": None,
        "decided_by": "person",
        "reviewer": "Ada",
        "previous_label": "bag",
        "model_version": "test-1",
        "taxonomy": "fashion-mnist",
        "taxonomy_version": 1,
        "reasons": None,
        "reason_code": None,
    }
    assert found[2]["reason_code"] == "not_found"
    assert set(found[0]) == set(found[3])


def test_reader_goes_on_after_what_it_has_and_passes_other_types(
    desk: Desk, shop: TestClient
) -> None:
    happen(desk, tagged("p1"))
    happen(desk, flagged("p2"))
    happen(desk, tagged("p3"))
    first = shop.get(URL, params={"limit": 2}).json()
    assert (len(first["events"]), first["after"]) == (2, 2)
    rest = shop.get(URL, params={"after": 2}).json()
    assert [each["product_id"] for each in rest["events"]] == ["p3"]
    assert shop.get(URL, params={"after": 3}).json() == {"events": [], "after": 3}
    none = shop.get(URL, params={"types": "failed,decided"}).json()
    assert none == {"events": [], "after": 3}


def test_long_poll_answers_when_something_happens(desk: Desk, shop: TestClient) -> None:
    timer = threading.Timer(0.5, happen, [desk, tagged("p1")])
    timer.start()
    answer = shop.get(URL, params={"wait": 30}).json()
    timer.join()
    assert [each["product_id"] for each in answer["events"]] == ["p1"]
    assert shop.get(URL, params={"after": 1, "wait": 0.1}).json() == {"events": [], "after": 1}


def test_numbers_that_no_reader_can_go_on_from(desk: Desk, shop: TestClient) -> None:
    for number in range(3):
        happen(desk, tagged(f"p{number}"))
    ahead = shop.get(URL, params={"after": 4})
    assert ahead.status_code == 409
    assert "at most 3, received 4" in ahead.json()["detail"]
    with sessions(desk.engine).begin() as session:
        session.execute(delete(EventRow).where(EventRow.number <= 2))
    gone = shop.get(URL, params={"after": 1})
    assert gone.status_code == 410
    assert "go on after 3" in gone.json()["detail"]
    assert len(shop.get(URL, params={"after": 2}).json()["events"]) == 1
    assert len(shop.get(URL).json()["events"]) == 1


def test_only_services_with_the_scope_results_read_events(desk: Desk) -> None:
    with sessions(desk.engine).begin() as session:
        jobs = tokens.issue(session, tokens.add(session, "sender", [Scope.JOBS], NOON), NOON)
    sender = TestClient(app_of(desk), headers={"Authorization": f"Bearer {jobs}"})
    assert sender.get(URL).status_code == 403
    assert browser(desk).get(URL).status_code == 401
    assert TestClient(app_of(desk)).get(URL).status_code == 401


@pytest.mark.parametrize(
    "query", [{"types": "sold"}, {"limit": 1001}, {"after": -1}, {"wait": 31}, {"wait": "nan"}]
)
def test_questions_that_cannot_be_answered_are_refused(
    shop: TestClient, query: dict[str, Any]
) -> None:
    assert shop.get(URL, params=query).status_code == 422
    assert shop.get(URL, headers={"Last-Event-ID": "-1"}).status_code == 422


def test_a_service_waits_on_few_requests_at_once(
    shop: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_watch, "WAITING_MAX_EACH", 0)
    refused = shop.get(URL, params={"wait": 1})
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    assert shop.get(URL).status_code == 200


@contextmanager
def stream(url: str, token: str, **headers: str) -> Iterator[HTTPResponse]:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=60)
    wanted = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
    connection.request("GET", URL, headers=wanted | headers)
    answer = connection.getresponse()
    try:
        yield answer
    finally:
        answer.close()
        connection.close()


def next_event(answer: HTTPResponse) -> dict[str, Any]:
    """The next event that has data, by the rules of the format."""
    fields: dict[str, str] = {}
    while True:
        line = answer.readline().decode().rstrip("\n")
        name, _, value = line.partition(": ")
        if line:
            fields[name] = value
        elif "data" in fields:
            event: dict[str, Any] = json.loads(fields["data"])
            assert (fields["id"], fields["event"]) == (str(event["id"]), event["type"])
            return event
        else:
            fields = {}


def test_stream_goes_on_where_its_reader_stopped(desk: Desk, token: str) -> None:
    happen(desk, tagged("p1"))
    with serving(app_of(desk)) as url:
        with stream(url, token) as answer:
            assert answer.headers["Content-Type"].startswith("text/event-stream")
            assert next_event(answer)["product_id"] == "p1"
            happen(desk, flagged("p2"))
            seen = next_event(answer)
            assert (seen["id"], seen["type"], seen["product_id"]) == (2, "flagged", "p2")
        happen(desk, tagged("p3"))
        with stream(url, token, **{"Last-Event-ID": "2"}) as answer:
            assert next_event(answer)["product_id"] == "p3"
        with stream(url, token, **{"Last-Event-ID": "4"}) as answer:
            assert answer.status == 409
