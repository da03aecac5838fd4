"""Jobs over HTTP: what is accepted, what is refused and how, and that nothing counts twice."""

import gzip
import json
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from db.ledger.models import Product
from db.services.models import AcceptedRequest, Scope
from review import bodies
from review.desk import Desk
from tests.review.conftest import app_of
from tests.review.server import serving
from tests.services import service, service_token

JSON = {"Content-Type": "application/json"}
LINES = {"Content-Type": "application/x-ndjson"}
NOTHING = {"received": 0, "accepted": 0, "superseded": 0, "malformed": []}


def job(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "product_id": f"p{number}",
        "image_uri": f"https://img.example.com/{number}.jpg",
    } | fields


@pytest.fixture
def desk(engine: Engine, make_desk: Callable[..., Desk]) -> Desk:
    """On both databases."""
    return make_desk(engine)


@pytest.fixture
def shop(desk: Desk) -> TestClient:
    return service(desk, app_of(desk))


def products(engine: Engine) -> dict[str, Product]:
    with Session(engine) as session:
        return {row.id: row for row in session.scalars(select(Product))}


def test_one_job_is_accepted_and_due_for_its_queue(shop: TestClient, engine: Engine) -> None:
    answer = shop.post("/api/v1/jobs", json=job(declared_label="Coat"))
    assert answer.status_code == 202
    assert answer.json() == NOTHING | {"received": 1, "accepted": 1}
    row = products(engine)["p1"]
    assert (row.status, row.queue, row.declared_label) == ("queued", "ingest", "Coat")
    assert row.published_at is None
    assert row.next_attempt_at is not None


def test_many_go_in_chunks_on_the_bulk_queue_unless_it_is_said(
    shop: TestClient, engine: Engine
) -> None:
    assert shop.post("/api/v1/jobs", json=[job(n) for n in range(300)]).json()["accepted"] == 300
    assert shop.post("/api/v1/jobs?queue=ingest", json=[job(n) for n in range(300, 400)]).is_success
    rows = products(engine).values()
    chunks = {row.message_id for row in rows if row.queue == "bulk"}
    singles = {row.message_id for row in rows if row.queue == "ingest"}
    assert (len(chunks), len(singles)) == (3, 100)


def test_each_malformed_job_is_named_by_its_position_and_the_others_are_accepted(
    shop: TestClient, engine: Engine
) -> None:
    bad = [[], None, 7, "x", {}, job(1, product_id=4711), job(2, image_uri=""),
           job(3, colour="red"), job(4, product_id="a\x00b"), job(5, image_uri="https://x/\ud800"),
           job(6, product_id="\ud800"), job(7, image_uri="x" * 2049), job(8, declared_label=[]),
           {"\ud800\x00": 1}, job(9, product_id=10**400)]  # fmt: skip
    body = json.dumps([job(100), *bad, job(101)])
    answer = shop.post("/api/v1/jobs", content=body, headers=JSON)
    assert answer.status_code == 202, answer.text
    found = answer.json()
    assert (found["received"], found["accepted"]) == (len(bad) + 2, 2)
    assert [each["position"] for each in found["malformed"]] == list(range(1, len(bad) + 1))
    assert all(each["detail"].startswith("Expected") for each in found["malformed"])
    assert set(products(engine)) == {"p100", "p101"}


def test_lines_are_jobs_and_blank_ones_count_as_positions_only(
    shop: TestClient, engine: Engine
) -> None:
    lines = [
        json.dumps(job(1)).encode(), b"", b'{"product_id": ', b"\xff\xfe", b"[" * 5000, b"9" * 5000,
        b'{"product_id": "a", "product_id": "b", "image_uri": "https://x/1.jpg"}', b"NaN",
        json.dumps(job(2)).encode() + b"\r",
    ]  # fmt: skip
    answer = shop.post("/api/v1/jobs", content=b"\n".join(lines), headers=LINES).json()
    assert (answer["received"], answer["accepted"]) == (8, 2)
    assert [each["position"] for each in answer["malformed"]] == [2, 3, 4, 5, 6, 7]
    assert "'product_id' again" in answer["malformed"][4]["detail"]
    assert set(products(engine)) == {"p1", "p2"}


def test_where_nothing_is_well_formed_nothing_is_said_to_be_accepted(shop: TestClient) -> None:
    answer = shop.post("/api/v1/jobs", json=job(image_uri=None))
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["malformed"][0]["position"] == 0
    assert "image_uri" in answer.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {"jobs": [job(1), job(2)]},
        {"0": job(1), "3": job(2)},  # array_filter in PHP leaves gaps
        [job(1), job(2, image_uri="https://old.example.com/2.jpg"), job(2)],
    ],
)
def test_what_is_clear_is_a_list(shop: TestClient, engine: Engine, body: Any) -> None:
    answer = shop.post("/api/v1/jobs", json=body)
    assert answer.status_code == 202
    assert answer.json()["accepted"] - answer.json()["superseded"] == 2
    assert products(engine)["p2"].image_uri == "https://img.example.com/2.jpg"


def test_an_empty_list_is_accepted_as_nothing(shop: TestClient, engine: Engine) -> None:
    for body, headers in ((b"[]", JSON), (b"", LINES), (b"\n\n", LINES)):
        answer = shop.post("/api/v1/jobs", content=body, headers=headers)
        assert (answer.status_code, answer.json()) == (202, NOTHING)
    assert not products(engine)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", JSON, 400),
        (b"", JSON, 400),
        (b"\xff", JSON, 400),
        (b"[" * 100_000, JSON, 400),
        (b"9" * 5000, JSON, 400),
        (b"[Infinity]", JSON, 400),
        (b"product_id=1", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        (b"[]", {"Content-Type": "application/json; charset=iso-8859-1"}, 415),
        (b"[]", {"Content-Type": "text/html"}, 415),
        (b"[]", JSON | {"Content-Encoding": "br"}, 415),
        (b"[]", JSON | {"Content-Encoding": "gzip"}, 400),
        (gzip.compress(b"[]" * 100, mtime=0)[:-12], JSON | {"Content-Encoding": "gzip"}, 400),
        (b"", JSON | {"Content-Encoding": "gzip"}, 400),
        (b"[]", JSON | {"Idempotency-Key": ""}, 400),
        (b"[]", JSON | {"Idempotency-Key": "x" * 129}, 400),
        (b"[]", JSON | {"Idempotency-Key": "a b"}, 400),
        (b"[" + b"0," * 10_000 + b"0]", JSON, 413),
        (b"{}\n" * 10_001, LINES, 413),
    ],
)
def test_what_cannot_be_read_is_a_problem(
    shop: TestClient, engine: Engine, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = shop.post("/api/v1/jobs", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"].startswith("Expected")
    assert not products(engine)


def test_gzip_is_unpacked_whatever_its_members(shop: TestClient, engine: Engine) -> None:
    text = json.dumps([job(n) for n in range(200)]).encode()
    packed = gzip.compress(text[:1000]) + gzip.compress(text[1000:])
    for content_type in (JSON, {}):
        headers = content_type | {"Content-Encoding": "gzip"}
        assert shop.post("/api/v1/jobs", content=packed, headers=headers).json()["accepted"] == 200
    assert len(products(engine)) == 200


@pytest.mark.parametrize("packed", [True, False])
def test_bodies_are_bounded_as_they_come_and_unpacked(shop: TestClient, packed: bool) -> None:
    text = b" " * (bodies.BODY_BYTES_MAX + 1)
    body = gzip.compress(text, 1) if packed else text
    headers = JSON | ({"Content-Encoding": "gzip"} if packed else {})
    assert shop.post("/api/v1/jobs", content=body, headers=headers).status_code == 413
    without_length = iter([body[: len(body) // 2], body[len(body) // 2 :]])
    assert shop.post("/api/v1/jobs", content=without_length, headers=headers).status_code == 413


def test_the_same_key_changes_nothing_again(shop: TestClient, engine: Engine) -> None:
    headers = {"Idempotency-Key": "batch-1"}
    first = shop.post("/api/v1/jobs", json=[job(1), {}], headers=headers)
    ids = {id_: row.message_id for id_, row in products(engine).items()}
    packed = gzip.compress(first.request.content)
    again = shop.post(
        "/api/v1/jobs", content=packed, headers=headers | {"Content-Encoding": "gzip"}
    )
    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert {id_: row.message_id for id_, row in products(engine).items()} == ids
    other = shop.post("/api/v1/jobs", json=[job(2)], headers=headers)
    assert other.status_code == 422
    assert "another body" in other.json()["detail"]
    assert set(products(engine)) == {"p1"}


def test_keys_are_each_services_own(desk: Desk, shop: TestClient, engine: Engine) -> None:
    other = service(desk, app_of(desk), name="other")
    headers = {"Idempotency-Key": "k"}
    assert shop.post("/api/v1/jobs", json=job(1), headers=headers).status_code == 202
    assert other.post("/api/v1/jobs", json=job(2), headers=headers).status_code == 202
    assert set(products(engine)) == {"p1", "p2"}


def test_a_request_that_comes_many_times_at_once_counts_once(desk: Desk, engine: Engine) -> None:
    token = service_token(desk)
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "once"}
    body = [job(n) for n in range(100)]
    with serving(app_of(desk)) as url, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(
            lambda _: httpx.post(f"{url}/api/v1/jobs", json=body, headers=headers, timeout=60),
            range(8),
        ))  # fmt: skip
    assert [answer.status_code for answer in answers] == [202] * 8
    assert len({answer.text for answer in answers}) == 1
    replayed = [answer.headers.get("idempotency-replayed") for answer in answers]
    assert (replayed.count("true"), replayed.count(None)) == (7, 1)
    with Session(engine) as session:
        assert len(session.scalars(select(AcceptedRequest)).all()) == 1
    assert len({row.message_id for row in products(engine).values()}) == 1


def test_a_full_backlog_takes_no_more_and_says_when_to_come_again(
    desk: Desk, shop: TestClient, engine: Engine
) -> None:
    desk.backlog_max = 2
    assert shop.post("/api/v1/jobs", json=job(1)).status_code == 202
    assert shop.post("/api/v1/jobs", json=[job(2), job(3)]).status_code == 202
    refused = shop.post("/api/v1/jobs", json=job(4))
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    assert set(products(engine)) == {"p1", "p2", "p3"}


def test_only_services_with_the_scope_hand_in_jobs(desk: Desk, engine: Engine) -> None:
    reader = service(desk, app_of(desk), Scope.RESULTS, name="reader")
    assert reader.post("/api/v1/jobs", json=job()).status_code == 403
    assert TestClient(app_of(desk)).post("/api/v1/jobs", json=job()).status_code == 401
    assert not products(engine)


def test_strangers_methods_are_told_which_there_are(shop: TestClient) -> None:
    for method in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"):
        answer = shop.request(method, "/api/v1/jobs")
        assert answer.status_code == 405, method
        assert answer.headers["allow"] == "POST"
        assert answer.headers["content-type"] == "application/problem+json"


def test_who_asks_is_settled_before_a_body_is_read(desk: Desk) -> None:
    head = (
        "POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        "Content-Length: 30000000\r\n\r\n["
    )
    with serving(app_of(desk)) as url:
        port = int(url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(head.encode())
            assert connection.recv(100).startswith(b"HTTP/1.1 401")


def test_an_offer_of_http_2_as_java_makes_it_is_passed_over(desk: Desk, engine: Engine) -> None:
    headers = {"Authorization": f"Bearer {service_token(desk)}"} | {
        "Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAEAAEAAAAI",
    }  # fmt: skip
    with serving(app_of(desk)) as url:
        answer = httpx.post(f"{url}/api/v1/jobs", json=job(), headers=headers, timeout=60)
    assert answer.status_code == 202, answer.text
    assert set(products(engine)) == {"p1"}


def test_a_body_in_chunks_over_a_real_connection_is_read_to_its_end(
    desk: Desk, engine: Engine
) -> None:
    headers = {"Authorization": f"Bearer {service_token(desk)}"} | LINES
    lines = (json.dumps(job(n)).encode() + b"\n" for n in range(500))
    with serving(app_of(desk)) as url:
        answer = httpx.post(f"{url}/api/v1/jobs", content=lines, headers=headers, timeout=60)
    assert (answer.status_code, answer.json()["accepted"]) == (202, 500)
    assert len(products(engine)) == 500
