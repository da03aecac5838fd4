"""Writing what became of a batch: every statement is an upsert on a natural key.

A message delivered again finds its rows and changes none. Which tagging of a product is current
does not hang on the order of deliveries: the latest acceptance wins, and among outcomes of one
acceptance a tagging beats a failure and a newer model an older one.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, case, delete, func, literal_column, or_, select
from sqlalchemy.orm import Session

from catalog.bundle import Manifest
from catalog.jobs import Job
from catalog.outcomes import Failure, Outcome, Tagging
from catalog.status import ProductStatus
from db.ledger import accepting as ledger
from db.ledger.attempts import Attempt
from db.ledger.models import FailureRow, Model, Product, Thumbnail
from db.ledger.models import Tagging as TaggingRow
from db.retag import outcomes as retag_outcomes
from db.review import queue as review_queue
from db.upsert import insert, insert_many

Key = tuple[str, str, str]  # product id, image sha256, model version


def record_model(session: Session, manifest: Manifest, now: datetime) -> None:
    """Write the model's row; taggings refer to it."""
    fields = {
        "version": manifest.model_version,
        "labels": list(manifest.labels),
        "manifest": {"metrics": manifest.metrics, "files": manifest.files},
        "created_at": _sortable(manifest.created_at),
        "first_used_at": now,
    }
    session.execute(insert(session, Model).values(fields).on_conflict_do_nothing())


def record_outcomes(
    session: Session,
    outcomes: Sequence[Outcome],
    now: datetime,
    *,
    attempts: Mapping[str, Attempt] | None = None,
    retries: Mapping[str, datetime] | None = None,
    flag_changes_from: float = 0.0,
) -> None:
    """Write taggings, thumbnails, failures and the products' new status.

    attempts: what db.ledger.attempts.begin counted, by product id; without it, rows are made where
    they are missing and every outcome counts as the latest. retries: when to try failed products
    again; they stay queued and get no dead letter. flag_changes_from: a label that a re-tagging run
    changes is flagged where the former model was this sure, 0-1. The caller commits, and
    acknowledges only then. Where a batch holds a product twice, the later outcome decides its
    status.
    """
    attempts, retries = attempts or {}, retries or {}
    ledger.ensure_rows(session, _jobs_without_row(outcomes, attempts), now)
    before = retag_outcomes.before(session, attempts)
    outcomes = retag_outcomes.flag_changes(outcomes, before, flag_changes_from)
    current = _record_taggings(session, outcomes, now)
    settled = _settle_products(session, outcomes, current, attempts, retries, now)
    _record_failures(session, outcomes, attempts, retries, now)
    retag_outcomes.count(session, outcomes, before, settled - set(retries), current)
    review_queue.refresh(session, [outcome.subject for outcome in outcomes if outcome.job])


def _jobs_without_row(outcomes: Sequence[Outcome], attempts: Mapping[str, Attempt]) -> list[Job]:
    return [each.job for each in outcomes if each.job and each.subject not in attempts]


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
    statement, parameters = insert_many(session, TaggingRow, rows)
    session.execute(statement.on_conflict_do_nothing(), parameters)
    found = session.execute(
        select(
            TaggingRow.id, TaggingRow.product_id, TaggingRow.image_sha256, TaggingRow.model_version
        ).where(TaggingRow.product_id.in_({key[0] for key in results}))
    )
    ids = {(product, sha256, model): tagging_id for tagging_id, product, sha256, model in found}
    pictures = [_thumbnail_row(ids[key], result) for key, result in results.items()]
    statement, parameters = insert_many(session, Thumbnail, pictures)
    session.execute(statement.on_conflict_do_nothing(), parameters)
    return ids


def _settle_products(
    session: Session,
    outcomes: Sequence[Outcome],
    tagging_ids: dict[Key, int],
    attempts: Mapping[str, Attempt],
    retries: Mapping[str, datetime],
    now: datetime,
) -> set[str]:
    """Move each product to its new status; what a person reviewed stays as it is.

    Returns the products whose rows took their outcome.
    """
    latest = {outcome.subject: outcome for outcome in outcomes if outcome.job}
    if not latest:
        return set()
    rows = [
        _settled_row(outcome, tagging_ids, attempts.get(subject), retries.get(subject), now)
        for subject, outcome in sorted(latest.items())
    ]
    statement, parameters = insert_many(session, Product, rows)
    new = statement.excluded
    reviewed = Product.status == ProductStatus.REVIEWED
    tagging_id = func.coalesce(new.current_tagging_id, Product.current_tagging_id)
    status = case((reviewed, Product.status), else_=new.status)
    current = case((reviewed, Product.current_tagging_id), else_=tagging_id)
    retried = new.next_attempt_at.is_not(None)
    settled = case((retried, Product.settled_message_id), else_=new.settled_message_id)
    model_version = func.coalesce(new.last_model_version, Product.last_model_version)
    taken = session.execute(
        statement.on_conflict_do_update(
            index_elements=[Product.id],
            set_={
                "status": status,
                "current_tagging_id": current,
                "last_model_version": model_version,
                "last_tagged_at": func.coalesce(new.last_tagged_at, Product.last_tagged_at),
                "image_validator": new.image_validator,
                "settled_message_id": func.coalesce(settled, Product.settled_message_id),
                "published_at": None,
                "attempt_by": None,
                "attempt_started_at": None,
                "crashes": case((new.current_tagging_id.is_not(None), 0), else_=Product.crashes),
                "last_reason_code": new.last_reason_code,
                "next_attempt_at": new.next_attempt_at,
                "updated_at": new.updated_at,
            },
            where=_is_newer(new, status, current),
        ).returning(Product.id),
        parameters,
    )
    return set(taken.scalars())


def _is_newer(
    new: Any, status: ColumnElement[str], current: ColumnElement[int]
) -> ColumnElement[bool]:
    """Whether an outcome may change its product's row, and would."""
    unnamed = new.message_id.is_(None)
    changes = or_(Product.status != status, Product.current_tagging_id.is_distinct_from(current))
    first = Product.settled_message_id.is_distinct_from(new.message_id)
    open_states = (ProductStatus.FAILED, ProductStatus.QUEUED, ProductStatus.PROCESSING)
    better = new.current_tagging_id.is_not(None) & or_(
        *(Product.status == each for each in open_states),
        _model_age("excluded.current_tagging_id") > _model_age("products.current_tagging_id"),
    )
    same = Product.message_id == new.message_id
    return or_(unnamed & changes, same & or_(first, better & changes))


def _model_age(tagging_id: str) -> ColumnElement[str]:
    """When the model of a tagging was made, as sortable text; a newer one is greater.

    As text, because ON CONFLICT has no enclosing SELECT that a subquery could be correlated with.
    """
    return literal_column(
        "(SELECT coalesce(models.created_at, '') || models.version FROM models "  # noqa: S608
        "JOIN taggings ON taggings.model_version = models.version "
        f"WHERE taggings.id = {tagging_id})"
    )


def _record_failures(
    session: Session,
    outcomes: Sequence[Outcome],
    attempts: Mapping[str, Attempt],
    retries: Mapping[str, datetime],
    now: datetime,
) -> None:
    """Keep one dead letter for what failed, and none for what succeeded after all."""
    latest = {outcome.subject: outcome for outcome in outcomes}
    failed = [each for each in latest.values() if isinstance(each.result, Failure)]
    final = [each for each in failed if each.subject not in retries]
    tagged = [subject for subject, each in latest.items() if isinstance(each.result, Tagging)]
    if tagged:
        # No object of this session is to be kept in step.
        session.execute(
            delete(FailureRow).where(FailureRow.subject.in_(tagged)),
            execution_options={"synchronize_session": False},
        )
    final = _without_those_that_others_tagged(session, final, attempts)
    if not final:
        return
    rows = [_failure_row(each, attempts.get(each.subject), now) for each in final]
    statement, parameters = insert_many(session, FailureRow, rows)
    new = statement.excluded
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[FailureRow.subject],
            set_={
                "reason_code": new.reason_code,
                "detail": new.detail,
                "attempts": new.attempts,
                "failed_at": new.failed_at,
            },
            where=or_(FailureRow.reason_code != new.reason_code, FailureRow.detail != new.detail),
        ),
        parameters,
    )


def _without_those_that_others_tagged(
    session: Session, failed: list[Outcome], attempts: Mapping[str, Attempt]
) -> list[Outcome]:
    """Without failures that lost against another worker's tagging, or a newer acceptance."""
    ids = [each.subject for each in failed if each.subject in attempts]
    if not ids:
        return failed
    kept = (ProductStatus.FAILED, ProductStatus.REVIEWED)
    left = select(Product.id).where(Product.id.in_(ids), Product.status.in_(kept))
    standing = set(session.scalars(left))
    return [each for each in failed if each.subject not in ids or each.subject in standing]


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
        "photo_temperature": tagging.photo_temperature,
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


def _settled_row(
    outcome: Outcome,
    tagging_ids: dict[Key, int],
    attempt: Attempt | None,
    retry_at: datetime | None,
    now: datetime,
) -> dict[str, object]:
    assert outcome.job is not None
    result = outcome.result
    tagged = result if isinstance(result, Tagging) else None
    failed = result if isinstance(result, Failure) else None
    if failed:
        status = ProductStatus.QUEUED if retry_at else ProductStatus.FAILED
    else:
        flagged = tagged is not None and tagged.flagged
        status = ProductStatus.NEEDS_REVIEW if flagged else ProductStatus.TAGGED
    message_id = attempt.message_id if attempt else None
    return {
        "id": outcome.subject,
        "image_uri": outcome.job.image_uri,
        "status": status,
        "message_id": message_id,
        "settled_message_id": None if retry_at else message_id,
        "attempts": 0,
        "last_reason_code": failed.code.value if failed else None,
        "next_attempt_at": retry_at,
        "current_tagging_id": tagging_ids[_key(outcome.subject, tagged)] if tagged else None,
        "last_model_version": tagged.model_version if tagged else None,
        "image_validator": outcome.image_validator if tagged else None,
        "last_tagged_at": None if failed else now,
        "created_at": now,
        "queued_at": now,
        "updated_at": now,
    }


def _failure_row(outcome: Outcome, attempt: Attempt | None, now: datetime) -> dict[str, object]:
    assert isinstance(outcome.result, Failure)
    return {
        "subject": outcome.subject,
        "product_id": outcome.job.product_id if outcome.job else None,
        "reason_code": outcome.result.code.value,
        "detail": _storable(outcome.result.detail)[:2000],
        "payload": _storable(outcome.payload)[:4000] if outcome.payload else None,
        "attempts": attempt.number if attempt else 1,
        "failed_at": now,
    }


def _sortable(created_at: str) -> str:
    """A manifest's time in UTC, so that texts compare as times do."""
    made = datetime.fromisoformat(created_at)
    made = made if made.tzinfo else made.replace(tzinfo=UTC)
    return made.astimezone(UTC).isoformat(timespec="microseconds")


def _storable(text: str) -> str:
    # PostgreSQL stores neither NUL nor lone surrogates, and an error's text may hold both.
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()
