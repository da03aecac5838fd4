from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import Engine

from catalog.taxonomy.model import Category, Replaced
from db.engine import sessions
from db.ledger.recording import record_model
from db.taxonomies.adopting import adopt
from review.desk import Desk
from tests.desk import flag
from tests.factories import flagged, manifest, record
from tests.review.calls import claim, decide, status_of
from tests.review.conftest import browser
from tests.taxonomies import FASHION_MNIST, taxonomy
from tests.wardrobe import WARDROBE, flag_wardrobe


@pytest.fixture
def wardrobe(engine: Engine, make_desk: Callable[..., Desk]) -> Desk:
    """A desk on each kind of database, with items of a model of fifty categories."""
    desk = make_desk(engine)
    with sessions(engine).begin() as session:
        flag_wardrobe(session, 4, desk.now())
    return desk


def test_correction_to_any_category_of_the_items_model_is_taken(wardrobe: Desk) -> None:
    ada = browser(wardrobe)
    for item, said in zip(claim(ada), ("espadrille", "Gym Shoe", "MÜTZE", "coat"), strict=True):
        answer = decide(ada, item, "correct", label=said)
        assert answer.status_code == 200, answer.text
    labels = [each["label"] for each in ada.get("/api/v1/reviews/mine").json()["reviews"]]
    assert labels == ["coat", "beanie", "sneaker", "espadrille"]


def test_taxonomy_of_an_items_model_says_what_its_labels_mean(wardrobe: Desk) -> None:
    ada = browser(wardrobe)
    item = claim(ada)[0]
    query = {"model_version": item["model_version"]}
    found = ada.get("/api/v1/taxonomy", params=query).json()
    assert found["title"] == item["taxonomy"] == "wardrobe 1"
    assert [each["id"] for each in found["categories"]] == list(WARDROBE.ids)
    sneaker = next(each for each in found["categories"] if each["id"] == "sneaker")
    assert (sneaker["name"], sneaker["parents"]) == ("Sneaker", ["Footwear"])
    assert {"trainer", "gym shoe"} <= set(sneaker["terms"])
    assert ada.get("/api/v1/taxonomy").json() == found  # it is in force
    unknown = ada.get("/api/v1/taxonomy", params={"model_version": "none"})
    assert (unknown.status_code, "tagged something" in unknown.text) == (404, True)


def test_label_of_64_characters_is_taken(engine: Engine, make_desk: Callable[..., Desk]) -> None:
    long = "x" * 64
    desk, shop = make_desk(engine), taxonomy(long, "other")
    with sessions(engine).begin() as session:
        model = manifest(model_version="long-1", labels=shop.ids, taxonomy=shop)
        record_model(session, model, desk.now())
        outcome = flagged(
            "p1", label="other", runner_up=long, confidences=(0.4, 0.6), model_version="long-1"
        )
        record(session, [outcome], desk.now())
    ada = browser(desk)
    answer = decide(ada, claim(ada, filter={"label": "other"})[0], "correct", label=long)
    assert answer.json()["review"]["label"] == long
    assert ada.get("/api/v1/statistics").json()["confusion"] == [
        {"machine": "other", "person": long, "count": 1}
    ]


def test_item_of_an_older_taxonomy_is_judged_by_the_one_that_was_adopted(
    engine: Engine, make_desk: Callable[..., Desk]
) -> None:
    desk = make_desk(engine)
    kept = tuple(each for each in FASHION_MNIST.categories if each.id not in ("coat", "pullover"))
    warm = Category(id="warm", name="Warm things", parent="tops")
    merged = Replaced(version=1, categories={"coat": ("warm",), "pullover": ("warm",)})
    new = replace(FASHION_MNIST, version=2, categories=(*kept, warm), replaces=merged)
    with sessions(engine).begin() as session:
        flag(session, "p1", 0.6, now=desk.now(), label="coat", runner_up="pullover")
        flag(session, "p2", 0.7, now=desk.now(), label="coat")
        adopt(session, new, by="test", now=desk.now())
    ada = browser(desk)
    first, second = claim(ada)
    assert (first["label"], first["label_name"]) == ("warm", "Warm things")
    assert first["taxonomy"] == "fashion-mnist 2"
    assert first["confidences"][0] == {"label": "warm", "confidence": 1.0}
    shown = ada.get("/api/v1/taxonomy", params={"model_version": first["model_version"]}).json()
    assert [each["id"] for each in shown["categories"]] == list(new.ids)
    assert decide(ada, first, "correct", label="coat").status_code == 422
    assert decide(ada, first, "correct", label="warm").json()["review"]["action"] == "accept"
    assert decide(ada, second, "correct", label="trouser").status_code == 200
    assert status_of(desk, "p1") == ("reviewed", "warm")
    maps = ada.get(f"{first['heat_url']}warm").json()["detail"]
    assert "has no map" not in maps  # there is one; the photo is what is missing


def test_items_of_models_with_taxonomies_of_their_own_are_judged_by_these(
    engine: Engine, make_desk: Callable[..., Desk]
) -> None:
    desk = make_desk(engine)
    with sessions(engine).begin() as session:
        flag(session, "ten", 0.1, now=desk.now(), label="coat")
        flag_wardrobe(session, 1, desk.now())
    ada = browser(desk)
    ten, fifty = claim(ada)
    assert (ten["taxonomy"], fifty["taxonomy"]) == ("fashion-mnist 1", "wardrobe 1")
    assert decide(ada, fifty, "correct", label="t-shirt-top").status_code == 422
    assert decide(ada, ten, "correct", label="t-shirt-top").status_code == 200
    assert decide(ada, fifty, "correct", label="kimono").status_code == 200
