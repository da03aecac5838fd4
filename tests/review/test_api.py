import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, event

from catalog.outcomes import FlagReason
from db.engine import sessions
from db.review.models import Role
from review.desk import Desk
from tests.days import a_picture, write
from tests.desk import flag, flag_many
from tests.review.calls import Json, claim, decide, status_of
from tests.review.conftest import Clock, browser
from tests.taxonomies import LABELS
from worker.drift.nightly import watch


@pytest.fixture
def both(engine: Engine, make_desk: Callable[..., Desk]) -> Desk:
    """A desk on each kind of database, with thirty items."""
    desk = make_desk(engine)
    with sessions(engine).begin() as session:
        flag_many(session, 30, desk.now())
    return desk


def test_claimed_item_says_all_that_a_person_needs(both: Desk) -> None:
    item = claim(browser(both))[0]
    assert item["why"] == (
        "The model is only 20 % sure that this is a T-shirt/top; Shirt follows with 1 %."
    )
    assert [bar["label"] for bar in item["confidences"]] == list(LABELS)
    assert item["leased_by"] == "Ada"
    assert item["heat_url"] == f"/pictures/{item['item']}/heat/"
    assert (item["label"], item["label_name"]) == ("t-shirt-top", "T-shirt/top")
    assert item["taxonomy"] == "fashion-mnist 1"


def test_decision_takes_effect_and_undo_takes_it_back(both: Desk) -> None:
    ada = browser(both)
    item = claim(ada)[0]
    answer = decide(ada, item, "correct", label="dress", seconds=2.5)
    assert answer.json()["review"]["label"] == "dress"
    assert status_of(both, item["product_id"]) == ("reviewed", "dress")
    undone = ada.post("/api/v1/undo", json={"key": uuid4().hex}).json()["items"]
    assert [each["item"] for each in undone] == [item["item"]]
    assert status_of(both, item["product_id"]) == ("needs_review", None)
    assert decide(ada, undone[0]).status_code == 200


def test_stale_decision_is_412_and_says_why(both: Desk, clock: Clock) -> None:
    ada, ben = browser(both), browser(both, "Ben")
    old = claim(ada)[0]
    clock.turn(minutes=11)
    decide(ben, claim(ben)[0])
    answer = decide(ada, old)
    assert answer.status_code == 412
    assert answer.headers["content-type"] == "application/problem+json"
    assert "Ben decided it at" in answer.json()["detail"]


def test_decision_without_if_match_is_428(both: Desk) -> None:
    ada = browser(both)
    item = claim(ada)[0]
    body = {"action": "accept", "key": uuid4().hex}
    assert ada.post(f"/api/v1/items/{item['item']}/decision", json=body).status_code == 428
    for tag in ('W/"1.1"', "*", '"999.1"', "1.1", '"1.1'):
        assert decide(ada, item | {"etag": tag}).status_code == 412


def test_same_key_again_answers_the_same(both: Desk) -> None:
    ada = browser(both)
    item = claim(ada)[0]
    first, second = (decide(ada, item, key="same-key-1").json() for _ in range(2))
    assert first["review"] == second["review"]


def test_pages_lead_through_the_whole_queue(both: Desk) -> None:
    ada = browser(both)
    seen, cursor = [], None
    while True:
        query = {"limit": 7, "order": "oldest"} | ({"cursor": cursor} if cursor else {})
        page = ada.get("/api/v1/items", params=query).json()
        seen += [item["item"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 30


def test_counts_follow_the_filter(both: Desk) -> None:
    ada = browser(both)
    tops = ada.get("/api/v1/items", params={"label": "Tops", "limit": 50}).json()["items"]
    assert {each["label"] for each in tops} == {"t-shirt-top", "pullover", "shirt"}
    counts = ada.get("/api/v1/counts", params={"label": "bag"}).json()
    assert (counts["open"], counts["by_label"]) == (3, {"bag": 3})
    assert ada.get("/api/v1/counts").json()["by_reason"] == {"low_confidence": 30}


def test_the_desk_offers_parents_before_what_is_below_them(both: Desk) -> None:
    page = browser(both).get("/").text
    tops, shirt = ('<option value="tops">Tops (all)<', '<option value="shirt">Tops &gt; Shirt<')
    assert 0 < page.find(tops) < page.find(shirt)


def test_bulk_decides_each_by_itself_and_is_one_step(both: Desk) -> None:
    ada = browser(both)
    items = claim(ada, alike=True, limit=3)
    assert {item["label"] for item in items} == {"t-shirt-top"}
    decisions = [{"item": item["item"], "etag": item["etag"], "action": "accept"} for item in items]
    decisions[1]["etag"] = f'"{items[1]["item"]}.99"'
    body = {"decisions": decisions, "key": uuid4().hex, "channel": "grid"}
    results = ada.post("/api/v1/decisions/bulk", json=body).json()["results"]
    assert [each["status"] for each in results] == [200, 412, 200]
    undone = ada.post("/api/v1/undo", json={"key": uuid4().hex}).json()["items"]
    assert {each["item"] for each in undone} == {items[0]["item"], items[2]["item"]}


def test_similar_items_are_reviewed_ones_and_follow_decisions(both: Desk) -> None:
    ada = browser(both)
    first, second = claim(ada)[:2]
    path = f"/api/v1/items/{second['item']}"
    assert ada.get(path).json()["similar"] == []
    decide(ada, first, "correct", label="dress")
    [similar] = ada.get(path).json()["similar"]
    assert (similar["item"], similar["label"]) == (first["item"], "dress")
    ada.post("/api/v1/undo", json={"key": uuid4().hex})
    assert ada.get(path).json()["similar"] == []


def test_second_opinion_is_blind(engine: Engine, make_desk: Callable[..., Desk]) -> None:
    desk = make_desk(engine, second_share=1.0)
    with sessions(engine).begin() as session:
        tagging_id = flag(session, "p1", now=desk.now())
    ada, ben = browser(desk), browser(desk, "Ben")
    decide(ada, claim(ada)[0], "correct", label="dress")
    [shown] = claim(ben)
    assert (shown["reviews"], shown["reviewed_label"], shown["round"]) == ([], None, 1)
    assert "Ada" not in str(shown)
    decide(ben, shown)
    lead = browser(desk, "Lea", Role.LEAD)
    [dispute] = claim(lead)
    assert dispute["item"] == tagging_id
    assert dispute["why"].startswith("Ada said Dress, Ben said Coat. Settle it.")
    figures = lead.get("/api/v1/statistics").json()
    assert figures["second_opinions"]["whole"] == 1
    assert figures["disputes"] == 1


def test_audit_is_the_leads_and_everybodys_own(both: Desk) -> None:
    ada, ben, lead = browser(both), browser(both, "Ben"), browser(both, "Lea", Role.LEAD)
    for client in (ada, ben):
        decide(client, claim(client)[0])
    mine = ada.get("/api/v1/reviews/mine").json()["reviews"]
    assert {each["reviewer"] for each in mine} == {"Ada"}
    page = lead.get("/api/v1/reviews", params={"limit": 1}).json()
    older = lead.get("/api/v1/reviews", params={"before": page["next_before"]}).json()
    assert page["reviews"][0]["reviewer"] == "Ben"
    assert [each["reviewer"] for each in older["reviews"]] == ["Ada"]


def test_leases_are_renewed_and_released(both: Desk, clock: Clock) -> None:
    ada, ben = browser(both), browser(both, "Ben")
    ids = [item["item"] for item in claim(ada)]
    clock.turn(minutes=8)
    assert sorted(ada.post("/api/v1/leases/renew", json={"items": ids}).json()["held"]) == ids
    clock.turn(minutes=8)
    assert not {item["item"] for item in claim(ben)} & set(ids)
    ada.post("/api/v1/leases/release", json={"items": []})
    clock.turn(minutes=11)
    assert claim(ben)[0]["item"] == ids[0]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/api/v1/items/999999", None, 404),
        ("GET", "/api/v1/items/0", None, 422),
        ("GET", "/api/v1/items/99999999999999999999", None, 422),
        ("GET", "/api/v1/items/abc", None, 422),
        ("GET", "/api/v1/items?limit=201", None, 422),
        ("GET", "/api/v1/items?limit=0", None, 422),
        ("GET", "/api/v1/items?cursor=nonsense", None, 422),
        ("GET", "/api/v1/items?reason=boredom", None, 422),
        ("GET", "/api/v1/items?label=%00", None, 422),
        ("GET", "/api/v1/items?tagged_from=0001-01-01T00:00:00%2B14:00", None, 422),
        ("GET", "/api/v1/items?confidence_min=nan", None, 422),
        ("GET", "/api/v1/items?whatever=1", None, 422),
        ("POST", "/api/v1/claims", {"limit": 49}, 422),
        ("POST", "/api/v1/claims", {"filter": {"label": "\ud800"}}, 422),
        ("POST", "/api/v1/claims", {"filter": {"label": "\0"}}, 422),
        ("POST", "/api/v1/items/1/claim", None, 404),
        ("POST", "/api/v1/undo", {"key": "long-enough"}, 409),
        ("POST", "/api/v1/undo", {"key": "'; DROP TABLE reviews; --"}, 422),
        ("POST", "/api/v1/decisions/bulk", {"decisions": [], "key": "long-enough"}, 422),
        ("DELETE", "/api/v1/items", None, 405),
        ("GET", "/api/v1/nothing", None, 404),
        ("GET", "/pictures/1/thumbnail", None, 404),
        ("GET", "/pictures/1/heat/TEN", None, 422),
    ],
)
def test_bad_input_is_a_problem_with_a_sentence(
    desk: Desk, method: str, path: str, body: Json | None, status: int
) -> None:
    content = None if body is None else json.dumps(body)  # ASCII: surrogates are escaped
    headers = {"Content-Type": "application/json"}
    answer = browser(desk).request(method, path, content=content, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert len(problem["detail"]) > 8


def test_label_outside_the_taxonomy_is_refused_by_name(both: Desk) -> None:
    ada = browser(both)
    answer = decide(ada, claim(ada)[0], "correct", label="Skirt")
    assert answer.status_code == 422
    assert "Expected a category of fashion-mnist 1 (t-shirt-top" in answer.json()["detail"]


def test_huge_body_is_refused_before_it_is_parsed(desk: Desk) -> None:
    answer = browser(desk).post("/api/v1/claims", content=b" " * 300_000)
    assert answer.status_code == 413


def test_html_in_names_and_ids_is_text_everywhere(desk: Desk) -> None:
    name = "<script>alert(1)</script>"
    with sessions(desk.engine).begin() as session:
        flag(session, name, now=desk.now(), reasons=(FlagReason.AUDIT_SAMPLE,))
    client = browser(desk, name)
    decide(client, claim(client)[0])
    for path in ("/", "/grid", "/dashboard"):
        assert "<script>alert" not in client.get(path).text
    assert client.get("/api/v1/me").headers["content-type"] == "application/json"


def test_database_that_takes_no_changes_is_503_and_nothing_is_lost(both: Desk) -> None:
    ada = browser(both)
    item = claim(ada)[0]
    held = {"closed": True}

    def close(connection: Any) -> None:
        if held["closed"]:
            sqlite = both.engine.dialect.name == "sqlite"
            connection.exec_driver_sql(
                "PRAGMA query_only=ON" if sqlite else "SET TRANSACTION READ ONLY"
            )

    event.listen(both.engine, "begin", close)
    key = uuid4().hex
    answer = decide(ada, item, key=key)
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert "Nothing was changed" in answer.json()["detail"]
    assert ada.get(f"/api/v1/items/{item['item']}").status_code == 200
    held["closed"] = False
    both.engine.dispose()
    assert decide(ada, item, key=key).status_code == 200
    assert status_of(both, item["product_id"])[0] == "reviewed"


def test_two_people_deciding_at_once_leave_one_decision(both: Desk) -> None:
    clients = [browser(both, f"R{number}") for number in range(8)]
    item = claim(clients[0])[0]
    clients[0].post("/api/v1/leases/release", json={"items": []})
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda each: decide(each, item).status_code, clients))
    assert sorted(statuses) == [200] + [412] * 7


def test_what_moved_is_a_card_of_the_dashboard(desk: Desk, sqlite_engine: Engine) -> None:
    lead = browser(desk, "Lea", Role.LEAD)
    assert "No day was compared with those before it yet." in lead.get("/dashboard").text
    with sessions(sqlite_engine).begin() as session:
        write(
            session,
            [
                a_picture(
                    desk.now().replace(hour=12) - timedelta(days=1 + day),
                    host="a.example",
                    label="bag" if day and number % 2 else "ankle-boot",
                )
                for day in range(10)
                for number in range(80)
            ],
        )
    watch(sqlite_engine, desk.now())
    shown = lead.get("/dashboard").text
    assert "2 of which moved" in shown
    assert "Ankle boot 50.0 → 100.0 %" in shown
