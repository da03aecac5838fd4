"""Writing what became of a batch: every statement is an upsert on a natural key.

A message delivered again finds its rows and changes none. Which tagging of a product is current
does not hang on the order of deliveries: the latest acceptance wins, and among outcomes of one
acceptance a tagging beats a failure and a newer model an older one.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from catalog.bundle import Manifest
from catalog.outcomes import Failure, Outcome, Tagging
from catalog.status import ProductStatus
from catalog.taxonomy.document import to_fields
from db.events.outcomes import Known, of_outcomes
from db.events.writing import write
from db.ledger import transitions
from db.ledger.attempts import Attempt
from db.ledger.dead_letters import clear
from db.ledger.models import FailureRow, Model, Product, Thumbnail
from db.ledger.models import Tagging as TaggingRow
from db.ledger.product_rows import lock
from db.retag import outcomes as retag_outcomes
from db.review import queue as review_queue
from db.taxonomies.moves import know_taxonomy
from db.upsert import insert, insert_many

NO_ATTEMPTS: Mapping[str, Attempt] = MappingProxyType({})
Key = tuple[str, str, str]  # product id, image sha256, model version


def record_model(session: Session, manifest: Manifest, now: datetime) -> None:
    """Write the model's row; taggings refer to it."""
    fields = {
        "version": manifest.model_version,
        "labels": list(manifest.labels),
        "taxonomy": to_fields(manifest.taxonomy),
        "taxonomy_name": manifest.taxonomy.name,
        "taxonomy_version": manifest.taxonomy.version,
        "manifest": {
            "metrics": manifest.metrics,
            "files": manifest.files,
            "alike_min": {name: each.alike_min for name, each in manifest.networks.items()},
            "alike_apart": {
                name: list(each.alike_apart) for name, each in manifest.networks.items()
            },
        },
        "created_at": _sortable(manifest.created_at),
        "first_used_at": now,
    }
    statement = insert(session, Model).values(fields).on_conflict_do_nothing()
    if session.execute(statement.returning(Model.version)).first() is not None:
        know_taxonomy(session, manifest.taxonomy)


def record_outcomes(
    session: Session,
    outcomes: Sequence[Outcome],
    now: datetime,
    *,
    attempts: Mapping[str, Attempt] = NO_ATTEMPTS,
    retries: Mapping[str, datetime] | None = None,
    flag_changes_from: float = 0.0,
) -> None:
    """Write taggings, thumbnails, failures, the products' new status, and the events of these.

    attempts: what db.ledger.attempts.begin counted, by product id, for every outcome of a product;
    a message that was no job has none.
    retries: when to try failed products again; they stay queued and get no dead letter.
    flag_changes_from: a label that a re-tagging run changes is flagged where the former model was
    this sure, 0-1. The caller commits, and acknowledges only then. Where a batch holds a product
    twice, the later outcome decides its status.
    """
    retries = retries or {}
    standings = lock(session, {each.subject for each in outcomes if each.job})
    # What is removed while it is looked at leaves no trace; anew accepted it would be queued.
    gone = {product_id for product_id, standing in standings.items() if standing.removed}
    outcomes = [each for each in outcomes if each.subject not in gone]
    before = retag_outcomes.before(session, attempts)
    outcomes = retag_outcomes.flag_changes(outcomes, before, flag_changes_from)
    current = _record_taggings(session, outcomes, now)
    final = _settle_products(session, outcomes, current, attempts, retries, now)
    recovered = _record_failures(session, outcomes, attempts, retries, now)
    retag_outcomes.count(session, outcomes, before, final, current)
    review_queue.refresh(session, [outcome.subject for outcome in outcomes if outcome.job])
    known = Known(standings=standings, runs=before, recovered=recovered)
    write(session, of_outcomes(session, outcomes, final, known), now)


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
    """Move each product to its new state; return those whose rows took a final outcome."""
    tagged, failed, retried = [], [], []
    for subject, outcome in {each.subject: each for each in outcomes if each.job}.items():
        row = _outcome_row(outcome, attempts[subject])
        if isinstance(outcome.result, Tagging):
            tagging_id = tagging_ids[_key(subject, outcome.result)]
            seen = {"image_validator": outcome.image_validator}
            tagged.append(row | seen | _tagged(outcome.result, tagging_id))
        elif subject in retries:
            retried.append(row | _failed(outcome.result) | {"next_attempt_at": retries[subject]})
        else:
            failed.append(row | _failed(outcome.result))
    transitions.plan_retry(session, retried, now)
    settled = transitions.settle(session, tagged, now)
    return settled | transitions.give_up(session, failed, now)


def _outcome_row(outcome: Outcome, attempt: Attempt) -> dict[str, object]:
    assert outcome.job is not None
    return {
        "id": outcome.subject,
        "image_uri": outcome.job.image_uri,
        "message_id": attempt.message_id,
    }


def _tagged(tagging: Tagging, tagging_id: int) -> dict[str, object]:
    return {
        "status": ProductStatus.NEEDS_REVIEW if tagging.flagged else ProductStatus.TAGGED,
        "current_tagging_id": tagging_id,
        "last_model_version": tagging.model_version,
    }


def _failed(failure: Failure) -> dict[str, object]:
    return {"last_reason_code": failure.code.value}


def _record_failures(
    session: Session,
    outcomes: Sequence[Outcome],
    attempts: Mapping[str, Attempt],
    retries: Mapping[str, datetime],
    now: datetime,
) -> set[str]:
    """Keep one dead letter for what failed, and none for what succeeded after all.

    Returns the latter, where there had been one.
    """
    latest = {outcome.subject: outcome for outcome in outcomes}
    failed = [each for each in latest.values() if isinstance(each.result, Failure)]
    final = [each for each in failed if each.subject not in retries]
    tagged = [subject for subject, each in latest.items() if isinstance(each.result, Tagging)]
    recovered = clear(session, tagged)
    final = _without_those_that_others_tagged(session, final)
    if not final:
        return recovered
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
    return recovered


def _without_those_that_others_tagged(session: Session, failed: list[Outcome]) -> list[Outcome]:
    """Without failures that lost against another worker's tagging, or a newer acceptance."""
    ids = [each.subject for each in failed if each.job]
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
        "network": tagging.network.value,
        "label": tagging.label,
        "confidence": tagging.confidence,
        "confidences": list(tagging.confidences),
        "runner_up": tagging.runner_up,
        "runner_up_confidence": tagging.runner_up_confidence,
        "out_of_taxonomy_score": tagging.out_of_taxonomy_score,
        "photo_temperature": tagging.photo_temperature,
        "certain_at": tagging.certain_at,
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
