"""Many tagged pictures on many days, written at once."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from db.ledger.models import Product, Tagging, Thumbnail
from db.ledger.recording import record_model
from db.upsert import insert_many
from tests.factories import manifest

DIMENSIONS = 8


def a_picture(
    at: datetime,
    *,
    host: str = "a.example",
    label: str = "bag",
    confidence: float = 0.97,
    flagged: bool = False,
    embedding: Any = None,
    run: int | None = None,
    model_version: str = "test-1",
) -> dict[str, Any]:
    return locals()


def write(session: Session, pictures: Iterable[Mapping[str, Any]], *, first_id: int = 1) -> None:
    """Store them as settled products with their taggings and thumbnails."""
    given = list(pictures)
    for version in {each["model_version"] for each in given}:
        record_model(session, manifest(model_version=version), given[0]["at"])
    numbered = list(enumerate(given, first_id))
    session.execute(*insert_many(session, Product, [_product(*each) for each in numbered]))
    session.execute(*insert_many(session, Tagging, [_tagging(*each) for each in numbered]))
    shown = [_thumbnail(*each) for each in numbered if each[1]["embedding"] is not None]
    if shown:
        session.execute(*insert_many(session, Thumbnail, shown))


def _product(number: int, picture: Mapping[str, Any]) -> dict[str, Any]:
    run, at = picture["run"], picture["at"]
    return {
        "id": f"p{number}", "image_uri": f"https://{picture['host']}/{number}.jpg",
        "status": "tagged", "queue": "ingest", "attempts": 1, "crashes": 0,
        "settled_message_id": f"accepted-{number}" if run is None else f"accepted-retag-{run}-0",
        "current_tagging_id": number, "created_at": at, "queued_at": at, "updated_at": at,
    }  # fmt: skip


def _tagging(number: int, picture: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": number, "product_id": f"p{number}", "image_sha256": f"{number:064x}",
        "model_version": picture["model_version"], "network": "reduced",
        "label": picture["label"], "confidence": picture["confidence"], "confidences": [],
        "runner_up": "shirt", "runner_up_confidence": 0.01, "out_of_taxonomy_score": 0.0,
        "flagged": picture["flagged"], "reasons": [], "tagged_at": picture["at"],
    }  # fmt: skip


def _thumbnail(number: int, picture: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "tagging_id": number, "overlay_jpeg": b"", "class_map": b"", "class_map_height": 0,
        "class_map_width": 0, "embedding": np.asarray(picture["embedding"], np.float16).tobytes(),
    }  # fmt: skip
