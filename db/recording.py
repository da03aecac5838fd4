"""Writing what became of a batch: every statement is an upsert on a natural key.

A message delivered again finds its rows and changes none.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, or_, select
from sqlalchemy.orm import Session

from catalog.bundle import Manifest
from catalog.outcomes import Failure, Outcome, Tagging
from catalog.status import ProductStatus
from db import ledger, review_queue
from db.models import FailureRow, Model, Product, Thumbnail
from db.models import Tagging as TaggingRow
from db.upsert import insert

Key = tuple[str, str, str]  # product id, image sha256, model version


def record_model(session: Session, manifest: Manifest, now: datetime) -> None:
    """Write the model's row; taggings refer to it."""
    fields = {
        "version": manifest.model_version,
        "labels": list(manifest.labels),
        "manifest": {"metrics": manifest.metrics, "files": manifest.files},
        "first_used_at": now,
    }
    session.execute(insert(session, Model).values(fields).on_conflict_do_nothing())


def record_outcomes(session: Session, outcomes: Sequence[Outcome], now: datetime) -> None:
    """Write taggings, thumbnails, failures and the products' new status.

    The caller commits, and acknowledges only then. Where a batch holds a product twice, the later
    outcome decides its status.
    """
    ledger.arrive(session, [outcome.job for outcome in outcomes if outcome.job], now)
    current = _record_taggings(session, outcomes, now)
    _settle_products(session, outcomes, current, now)
    _record_failures(session, outcomes, now)
    review_queue.refresh(session, [outcome.subject for outcome in outcomes if outcome.job])


def _record_taggings(
    session: Session, outcomes: Sequence[Outcome], now: datetime
) -> dict[Key, int]:
    """Insert what is new; return the ids of all, new or not."""
    results = {
        _key(outcome.subject, outcome.result): outcome.result
        for outcome in outcomes
        if isinstance(outcome.result, Tagging)
    }
    if not results:
        return {}
    rows = [_tagging_row(key, result, now) for key, result in results.items()]
    session.execute(insert(session, TaggingRow).values(rows).on_conflict_do_nothing())
    found = session.execute(
        select(
            TaggingRow.id, TaggingRow.product_id, TaggingRow.image_sha256, TaggingRow.model_version
        ).where(TaggingRow.product_id.in_({key[0] for key in results}))
    )
    ids = {(product, sha256, model): tagging_id for tagging_id, product, sha256, model in found}
    pictures = [_thumbnail_row(ids[key], result) for key, result in results.items()]
    session.execute(insert(session, Thumbnail).values(pictures).on_conflict_do_nothing())
    return ids


def _settle_products(
    session: Session, outcomes: Sequence[Outcome], tagging_ids: dict[Key, int], now: datetime
) -> None:
    """Move each product to its new status; what a person reviewed stays as it is."""
    latest = {outcome.subject: outcome for outcome in outcomes if outcome.job}
    if not latest:
        return
    rows = [_settled_row(outcome, tagging_ids, now) for outcome in latest.values()]
    statement = insert(session, Product).values(rows)
    new = statement.excluded
    tagging_id = func.coalesce(new.current_tagging_id, Product.current_tagging_id)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[Product.id],
            set_={
                "status": new.status,
                "current_tagging_id": tagging_id,
                "updated_at": new.updated_at,
            },
            where=(Product.status != ProductStatus.REVIEWED)
            & or_(
                Product.status != new.status,
                Product.current_tagging_id.is_distinct_from(tagging_id),
            ),
        )
    )


def _record_failures(session: Session, outcomes: Sequence[Outcome], now: datetime) -> None:
    """Keep one dead letter for what failed, and none for what succeeded after all."""
    latest = {outcome.subject: outcome for outcome in outcomes}
    failed = [outcome for outcome in latest.values() if isinstance(outcome.result, Failure)]
    tagged = [subject for subject, outcome in latest.items() if outcome not in failed]
    if tagged:
        session.execute(delete(FailureRow).where(FailureRow.subject.in_(tagged)))
    if not failed:
        return
    statement = insert(session, FailureRow).values([_failure_row(each, now) for each in failed])
    new = statement.excluded
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[FailureRow.subject],
            set_={
                "reason_code": new.reason_code,
                "detail": new.detail,
                "failed_at": new.failed_at,
            },
            where=or_(FailureRow.reason_code != new.reason_code, FailureRow.detail != new.detail),
        )
    )


def _key(product_id: str, tagging: Tagging) -> Key:
    return (product_id, tagging.image_sha256, tagging.model_version)


def _tagging_row(key: Key, tagging: Tagging, now: datetime) -> dict[str, object]:
    return {
        "product_id": key[0],
        "image_sha256": tagging.image_sha256,
        "model_version": tagging.model_version,
        "label": tagging.label,
        "confidence": tagging.confidence,
        "confidences": list(tagging.confidences),
        "runner_up": tagging.runner_up,
        "runner_up_confidence": tagging.runner_up_confidence,
        "out_of_taxonomy_score": tagging.out_of_taxonomy_score,
        "flagged": tagging.flagged,
        "reasons": [reason.value for reason in tagging.reasons],
        "tagged_at": now,
    }


def _thumbnail_row(tagging_id: int, tagging: Tagging) -> dict[str, object]:
    return {
        "tagging_id": tagging_id,
        "overlay_jpeg": tagging.overlay_jpeg,
        "class_map": tagging.class_map,
        "class_map_height": tagging.class_map_height,
        "class_map_width": tagging.class_map_width,
        "embedding": tagging.embedding,
    }


def _settled_row(outcome: Outcome, tagging_ids: dict[Key, int], now: datetime) -> dict[str, object]:
    assert outcome.job is not None
    result = outcome.result
    if isinstance(result, Failure):
        status, tagging_id = ProductStatus.FAILED, None
    else:
        status = ProductStatus.NEEDS_REVIEW if result.flagged else ProductStatus.TAGGED
        tagging_id = tagging_ids[_key(outcome.subject, result)]
    return {
        "id": outcome.subject,
        "image_uri": outcome.job.image_uri,
        "status": status,
        "attempts": 0,
        "current_tagging_id": tagging_id,
        "created_at": now,
        "queued_at": now,
        "updated_at": now,
    }


def _failure_row(outcome: Outcome, now: datetime) -> dict[str, object]:
    assert isinstance(outcome.result, Failure)
    return {
        "subject": outcome.subject,
        "product_id": outcome.job.product_id if outcome.job else None,
        "reason_code": outcome.result.code.value,
        "detail": _storable(outcome.result.detail)[:2000],
        "payload": _storable(outcome.payload)[:4000] if outcome.payload else None,
        "attempts": 1,
        "failed_at": now,
    }


def _storable(text: str) -> str:
    # PostgreSQL stores neither NUL nor lone surrogates, and an error's text may hold both.
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()
