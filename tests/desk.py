"""A review desk with something on it, for tests."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.outcomes import FlagReason
from db.ledger.recording import record_model
from db.review import reviewers
from db.review.decisions import Decision
from db.review.models import Action, Channel, Reviewer, ReviewItem, Role
from tests.factories import flagged, manifest, record
from tests.taxonomies import LABELS

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def person(session: Session, name: str = "Ada", role: Role = Role.REVIEWER) -> Reviewer:
    return reviewers.add(session, name, role, NOON)


def flag(
    session: Session, product_id: str, confidence: float = 0.5, now: datetime = NOON, **fields: Any
) -> int:
    """Put a flagged product on the desk; its tagging's id."""
    record_model(session, manifest(), now)
    label = fields.pop("label", "coat")
    runner_up = fields.pop("runner_up", "shirt" if label != "shirt" else "coat")
    spread = dict.fromkeys(LABELS, 0.0) | {label: confidence, runner_up: 1 - confidence}
    outcome = flagged(
        product_id,
        label=label,
        confidence=confidence,
        confidences=fields.pop("confidences", tuple(spread.values())),
        runner_up=runner_up,
        runner_up_confidence=1 - confidence,
        **fields,
    )
    record(session, [outcome], now)
    return item(session, product_id).tagging_id


def flag_many(session: Session, count: int, now: datetime = NOON) -> list[int]:
    """Flagged products p000, p001, … with rising confidence, in one batch."""
    record_model(session, manifest(), now)
    random = np.random.default_rng(0)
    outcomes = [
        flagged(
            f"p{index:03d}",
            label=LABELS[index % 10],
            confidence=0.2 + 0.5 * index / count,
            confidences=(0.1,) * 10,
            embedding=random.normal(size=64).astype(np.float16).tobytes(),
            reasons=(FlagReason.LOW_CONFIDENCE,),
        )
        for index in range(count)
    ]
    record(session, outcomes, now)
    return list(session.scalars(select(ReviewItem.tagging_id).order_by(ReviewItem.product_id)))


def item(session: Session, product_id: str) -> ReviewItem:
    return session.get_one(ReviewItem, product_id, populate_existing=True)


def decision(
    session: Session, tagging_id: int, action: Action = Action.ACCEPT, **fields: Any
) -> Decision:
    """A decision on an item as it is now."""
    version = session.scalar(select(ReviewItem.version).where(ReviewItem.tagging_id == tagging_id))
    defaults: dict[str, Any] = {
        "tagging_id": tagging_id,
        "version": version or 0,
        "action": action,
        "key": uuid4().hex,
        "channel": Channel.API,
    }
    return Decision(**defaults | fields)


def tagging_ids(rows: Sequence[ReviewItem]) -> list[int]:
    return [row.tagging_id for row in rows]
