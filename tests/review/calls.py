"""What a reviewer's browser sends, and what became of it."""

from typing import Any
from uuid import uuid4

from fastapi.testclient import TestClient

from db.engine import sessions
from db.ledger.models import Product
from review.desk import Desk

Json = dict[str, Any]


def claim(client: TestClient, **fields: Any) -> list[Json]:
    answer = client.post("/api/v1/claims", json=fields)
    assert answer.status_code == 200, answer.text
    items: list[Json] = answer.json()["items"]
    return items


def decide(client: TestClient, item: Json, action: str = "accept", **fields: Any) -> Any:
    body = {"action": action, "key": uuid4().hex} | fields
    headers = {"If-Match": item["etag"]}
    return client.post(f"/api/v1/items/{item['item']}/decision", json=body, headers=headers)


def status_of(desk: Desk, product_id: str) -> tuple[str, str | None]:
    with sessions(desk.engine)() as session:
        product = session.get_one(Product, product_id)
        return product.status, product.reviewed_label
