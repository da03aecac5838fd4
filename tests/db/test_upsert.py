"""Many rows by one statement: both databases store the same."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import event, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from catalog.status import ProductStatus
from db.ledger.models import Model, Product, Tagging, Thumbnail
from db.upsert import insert, insert_many

NOW = datetime(2026, 5, 1, 12, 30, tzinfo=UTC)


def product(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": name, "image_uri": f"/{name}.jpg", "declared_label": None,
        "status": ProductStatus.QUEUED, "created_at": NOW, "queued_at": NOW, "updated_at": NOW,
    } | fields  # fmt: skip


def tagging(name: str, reasons: list[str]) -> dict[str, Any]:
    return {
        "product_id": name, "image_sha256": "0" * 64, "model_version": "m", "label": "shirt",
        "confidence": 0.75, "confidences": [0.75, 0.25], "runner_up": "coat",
        "runner_up_confidence": 0.25, "out_of_taxonomy_score": -1.5, "flagged": bool(reasons),
        "reasons": reasons, "tagged_at": NOW,
    }  # fmt: skip


def add(session: Session, model: Any, rows: list[dict[str, Any]]) -> None:
    statement, parameters = insert_many(session, model, rows)
    session.execute(statement.on_conflict_do_nothing(), parameters)


def test_every_type_of_column_comes_back_as_it_went_in(session: Session) -> None:
    add(session, Product, [product("a", declared_label='x"{},\\'), product("b")])
    model = {"version": "m", "labels": ["shirt"], "manifest": {}, "first_used_at": NOW}
    session.execute(insert(session, Model).values(model))
    add(session, Tagging, [tagging("a", []), tagging("b", ["low_confidence", "poor_image"])])
    ids = session.scalars(select(Tagging.id).order_by(Tagging.product_id)).all()
    pictures = {
        "overlay_jpeg": bytes(range(256)), "class_map": b"", "class_map_height": 7,
        "class_map_width": 6, "embedding": b"\\\0\"",
    }  # fmt: skip
    add(session, Thumbnail, [{"tagging_id": each, **pictures} for each in ids])

    products = session.scalars(select(Product).order_by(Product.id)).all()
    assert [each.declared_label for each in products] == ['x"{},\\', None]
    assert [each.created_at for each in products] == [NOW, NOW]
    # Defaults of columns that no row names are filled in.
    assert [(each.status, each.attempts, each.queue) for each in products] == [
        ("queued", 0, "ingest")
    ] * 2
    taggings = session.scalars(select(Tagging).order_by(Tagging.product_id)).all()
    assert [each.reasons for each in taggings] == [[], ["low_confidence", "poor_image"]]
    assert [each.confidences for each in taggings] == [[0.75, 0.25]] * 2
    assert [each.flagged for each in taggings] == [False, True]
    thumbnail = session.get_one(Thumbnail, ids[0])
    assert {name: getattr(thumbnail, name) for name in pictures} == pictures


def test_text_that_is_too_long_is_refused_and_not_cut(session: Session) -> None:
    if session.get_bind().dialect.name == "sqlite":
        add(session, Product, [product("a", declared_label="x" * 65)])
        assert session.scalars(select(Product.declared_label)).one() == "x" * 65
        return
    with pytest.raises(DBAPIError, match="too long"):
        add(session, Product, [product("a", declared_label="x" * 65)])


def test_number_of_rows_does_not_change_the_statement(session: Session) -> None:
    seen: set[str] = set()

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        seen.add(statement)

    event.listen(session.get_bind(), "before_cursor_execute", note)
    for number in (1, 2, 200):
        add(session, Product, [product(f"{number}-{each}") for each in range(number)])
    assert len([each for each in seen if each.startswith("INSERT")]) == 1
    assert len(session.scalars(select(Product.id)).all()) == 203


def test_a_kept_statement_holds_nothing_of_earlier_ones(session: Session) -> None:
    add(session, Product, [product("a")])
    renamed = [product("a", image_uri="/b.jpg"), product("c")]
    statement, parameters = insert_many(session, Product, renamed)
    new = statement.excluded
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[Product.id], set_={"image_uri": new.image_uri}
        ),
        parameters,
    )
    add(session, Product, [product("a", image_uri="/d.jpg")])
    found = session.execute(select(Product.id, Product.image_uri).order_by(Product.id)).all()
    assert [tuple(row) for row in found] == [("a", "/b.jpg"), ("c", "/c.jpg")]
