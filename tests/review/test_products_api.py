"""What programs are told of products, and what is left of one that was removed."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from db.base import Base
from db.engine import sessions
from db.events.models import EventRow
from db.ledger.accepting import accept
from db.ledger.attempts import Delivery, begin
from db.ledger.models import FailureRow, Product, Tagging, Thumbnail
from db.ledger.recording import record_model, record_outcomes
from db.ledger.summary import summarise
from db.review.decisions import decide
from db.review.models import Action, Review, ReviewItem
from db.services.models import Scope
from review.desk import Desk
from tests.desk import NOON, decision, flag, person
from tests.factories import failed, job, manifest, record, tagged
from tests.review.conftest import app_of
from tests.services import service


@pytest.fixture
def desk(engine: Engine, make_desk: Callable[..., Desk]) -> Desk:
    """On both databases."""
    return make_desk(engine)


@pytest.fixture
def shop(desk: Desk) -> TestClient:
    return service(desk, app_of(desk))


def asked(shop: TestClient, product_id: str = "p1") -> dict[str, Any]:
    answer = shop.get(f"/api/v1/products/{quote(product_id, safe='')}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def stock(engine: Engine) -> None:
    """p1 is accepted, p2 waits for a person, p3 failed, p4 is queued."""
    with sessions(engine).begin() as session:
        record_model(session, manifest(), NOON)
        record(session, [tagged("p1"), failed("p3")], NOON)
        flag(session, "p2")
        accept(session, [job("p4", image_uri="https://u:secret@x.com/4.jpg?key=secret")], NOON)


def reviewed(engine: Engine, product_id: str = "p2", label: str = "dress") -> None:
    with sessions(engine).begin() as session:
        tagging_id = session.get_one(ReviewItem, product_id).tagging_id
        said = decision(session, tagging_id, Action.CORRECT, label=label)
        decide(session, person(session), said, NOON, second_share=0.0)


def test_each_state_says_its_label_and_who_decided(shop: TestClient, engine: Engine) -> None:
    stock(engine)
    accepted, open_, lost, queued = (asked(shop, f"p{n}") for n in (1, 2, 3, 4))
    said = [(each["state"], each["label"], each["decided_by"])
            for each in (accepted, open_, lost, queued)]  # fmt: skip
    assert said == [
        ("tagged", "bag", "machine"), ("needs_review", "coat", "machine"),
        ("failed", None, None), ("queued", None, None),
    ]  # fmt: skip
    assert (accepted["label_name"], accepted["confidence"]) == ("Bag", 0.91)
    assert accepted["confidences"][0] == {"label": "bag", "confidence": 0.91}
    assert len(accepted["confidences"]) == 10
    assert open_["reasons"] == ["low_confidence"]
    assert (lost["reason_code"], lost["detail"]) == ("not_found", "No picture of p3.")
    assert queued["image_uri"] == "https://…@x.com/4.jpg"
    assert queued["thumbnail_url"] is None


def test_a_person_s_word_is_in_force_with_their_name(shop: TestClient, engine: Engine) -> None:
    stock(engine)
    reviewed(engine)
    found = asked(shop, "p2")
    assert (found["state"], found["label"], found["decided_by"]) == ("reviewed", "dress", "person")
    assert (found["reviewer"], found["confidence"]) == ("Ada", None)
    assert found["decided_at"] == NOON.isoformat().replace("+00:00", "Z")
    assert found["confidences"][0] == {"label": "coat", "confidence": 0.5}


def test_the_thumbnail_is_had_with_the_same_token(shop: TestClient, engine: Engine) -> None:
    stock(engine)
    url = asked(shop)["thumbnail_url"]
    picture = shop.get(url)
    assert (picture.content, picture.headers["content-type"]) == (b"\xff\xd8 overlay", "image/jpeg")
    tag = picture.headers["etag"]
    assert shop.get(url, headers={"If-None-Match": tag}).status_code == 304
    assert shop.get("/api/v1/thumbnails/999999").status_code == 404


def test_many_are_asked_for_at_once_however_the_list_is_written(
    shop: TestClient, engine: Engine
) -> None:
    stock(engine)
    for query in ("ids=p3&ids=x&ids=p1&ids=p1", "ids[]=p3&ids[]=x&ids[]=p1", "ids[0]=p3&ids[1]=x&"
                  "ids[5]=p1", "ids%5B0%5D=p3&ids%5B1%5D=x&ids%5B2%5D=p1"):  # fmt: skip
        answer = shop.get(f"/api/v1/products?{query}").json()
        assert [each["product_id"] for each in answer["products"]] == ["p3", "p1"], query
        assert answer["missing"] == ["x"]
    for query in ("", "?id=p1", "?" + "&".join(f"ids={n}" for n in range(101))):
        assert shop.get(f"/api/v1/products{query}").status_code == 422


@pytest.mark.parametrize("product_id", ["a/b", "a//b", "ä ö?#&%", "a,b", "100%", "😀", "x" * 128])
def test_ids_may_be_any_text(shop: TestClient, engine: Engine, product_id: str) -> None:
    with sessions(engine).begin() as session:
        accept(session, [job("p1").model_copy(update={"product_id": product_id})], NOON)
    assert asked(shop, product_id)["product_id"] == product_id
    assert shop.get("/api/v1/products", params={"ids": product_id}).json()["missing"] == []
    assert shop.delete(f"/api/v1/products/{quote(product_id, safe='')}").status_code == 200


@pytest.mark.parametrize("path", ["unknown", "%00", "%ed%a0%80", "x" * 129, "%0a", ""])
def test_what_is_no_product_is_not_found(shop: TestClient, path: str) -> None:
    for method in ("GET", "DELETE"):
        answer = shop.request(method, f"/api/v1/products/{path}")
        assert answer.status_code == 404, method
        assert answer.headers["content-type"] == "application/problem+json"
    assert shop.get(f"/api/v1/products?ids={path}").json()["products"] == []


def test_other_methods_are_told_all_there_are(shop: TestClient) -> None:
    for method in ("OPTIONS", "HEAD", "PUT", "POST"):
        answer = shop.request(method, "/api/v1/products/p1")
        assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE, GET"), method


def test_scopes_part_reading_from_removing(desk: Desk, engine: Engine) -> None:
    stock(engine)
    reader = service(desk, app_of(desk), Scope.RESULTS, name="reader")
    sender = service(desk, app_of(desk), Scope.JOBS, name="sender")
    assert reader.delete("/api/v1/products/p1").status_code == 403
    assert sender.get("/api/v1/products/p1").status_code == 403
    assert sender.get("/api/v1/products?ids=p1").status_code == 403
    assert sender.delete("/api/v1/products/p1").status_code == 200
    assert reader.get("/api/v1/products/p1").status_code == 404


def test_nothing_of_a_removed_product_is_left_but_its_id(
    desk: Desk, shop: TestClient, engine: Engine
) -> None:
    stock(engine)
    for product_id in ("p1", "p2", "p3", "p4"):
        answer = shop.delete(f"/api/v1/products/{product_id}").json()
        assert (answer["state"], len(answer["kept"])) == ("removed", 2)
        assert shop.delete(f"/api/v1/products/{product_id}").json() == answer
        assert shop.get(f"/api/v1/products/{product_id}").status_code == 404
        assert shop.get(f"/api/v1/products?ids={product_id}").json()["missing"] == [product_id]
    with Session(engine) as session:
        for table in (Tagging, Thumbnail, FailureRow, ReviewItem):
            assert session.scalar(select(func.count()).select_from(table)) == 0, table
        kinds = session.scalars(select(EventRow.kind).order_by(EventRow.id)).all()
        assert kinds[-4:] == ["removed"] * 4
        assert summarise(session).products == 0
        _nowhere(session, "secret")


def test_of_a_judged_product_the_audit_is_kept_without_the_picture(
    shop: TestClient, engine: Engine
) -> None:
    stock(engine)
    reviewed(engine)
    kept = shop.delete("/api/v1/products/p2").json()["kept"]
    assert "1 entries of the audit" in kept[1]
    with Session(engine) as session:
        review = session.scalars(select(Review)).one()
        assert (review.label, review.machine_label) == ("dress", "coat")
        assert session.get(Tagging, review.tagging_id) is not None
        assert session.get(Thumbnail, review.tagging_id) is None
        assert session.get(ReviewItem, "p2") is None
        row = session.get_one(Product, "p2")
        assert (row.reviewed_label, row.current_tagging_id) == (None, None)


def test_what_was_on_its_way_does_not_bring_it_back_and_a_new_job_does(
    shop: TestClient, engine: Engine
) -> None:
    with sessions(engine).begin() as session:
        record_model(session, manifest(), NOON)
        ids = accept(session, [job("p1"), job("p2")], NOON)
        fixed: dict[str, Any] = {"owner": "w:1", "attempt_s_max": 90.0}
        looking = Delivery(job=job("p1"), message_id=ids["p1"])
        begun = begin(session, [looking], NOON, **fixed)
    for product_id in ("p1", "p2"):
        assert shop.delete(f"/api/v1/products/{product_id}").status_code == 200
    with sessions(engine).begin() as session:
        record_outcomes(session, [tagged("p1")], NOON, attempts=begun.attempts)
        late = begin(session, [Delivery(job=job("p2"), message_id=ids["p2"])], NOON, **fixed)
        assert (late.now, late.alone, late.attempts) == ([], [], {})
        assert session.scalar(select(func.count()).select_from(Tagging)) == 0
    assert shop.get("/api/v1/products?ids=p1&ids=p2").json()["missing"] == ["p1", "p2"]
    anew = {"product_id": "p1", "image_uri": "https://x.com/new.jpg"}
    assert shop.post("/api/v1/jobs", json=anew).status_code == 202
    assert asked(shop)["state"] == "queued"
    with sessions(engine).begin() as session:
        record(session, [tagged("p1")], NOON)
    assert asked(shop)["label"] == "bag"


def _nowhere(session: Session, text: str) -> None:
    """The text stands in no column of any table."""
    for table in Base.metadata.sorted_tables:
        for row in session.execute(select(table)):
            assert text not in repr(row), table.name
