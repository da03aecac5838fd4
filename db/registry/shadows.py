"""What shadows said: stored beside the taggings, and never current."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete
from sqlalchemy.orm import Session

from catalog.outcomes import Outcome, ShadowOpinion
from db.registry.models import ShadowTagging
from db.upsert import insert


def record(session: Session, outcomes: Sequence[Outcome], now: datetime) -> None:
    """Write the shadows' opinions among these outcomes; their products and models have rows."""
    rows = {
        (each.subject, each.shadow.image_sha256, each.shadow.model_version): _row(
            each.subject, each.shadow, now
        )
        for each in outcomes
        if each.shadow
    }
    if rows:
        statement = insert(session, ShadowTagging).values(list(rows.values()))
        session.execute(statement.on_conflict_do_nothing())


def forget(session: Session, model_version: str) -> None:
    """Delete all that this model said as a shadow."""
    session.execute(delete(ShadowTagging).where(ShadowTagging.model_version == model_version))


def _row(product_id: str, opinion: ShadowOpinion, now: datetime) -> dict[str, object]:
    return {
        "product_id": product_id,
        "image_sha256": opinion.image_sha256,
        "model_version": opinion.model_version,
        "label": opinion.label,
        "confidence": opinion.confidence,
        "out_of_taxonomy_score": opinion.out_of_taxonomy_score,
        "flagged": bool(opinion.reasons),
        "reasons": [reason.value for reason in opinion.reasons],
        "tagged_at": now,
    }
