"""What a run's outcomes mean for the run: counts, changed labels, and what they are flagged for."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from catalog.outcomes import Failure, FlagReason, Outcome, Tagging
from catalog.status import ProductStatus
from db.events.standing import of_standing
from db.events.writing import NewEvent, write
from db.ledger import transitions
from db.ledger.attempts import Attempt
from db.ledger.dead_letters import clear
from db.ledger.models import Product
from db.ledger.models import Tagging as TaggingRow
from db.retag.message_ids import run_of
from db.retag.models import RetagChange, RetagChunk
from db.taxonomies.moves import moves_of_models, now_called
from db.upsert import insert


@dataclass(frozen=True, kw_only=True)
class Before:
    """What was said of a product before a run's outcome; label is None if it was never tagged."""

    run_id: int
    message_id: str
    tagging_id: int | None
    label: str | None
    flagged: bool
    confidence: float
    person_label: str | None  # in force, whatever the machine says
    # The label in the taxonomy in force, where that has changed since.
    label_now: str | None = None

    def said(self, label: str) -> bool:
        """Whether this is what was said before."""
        return label in (self.label, self.label_now)


def before(session: Session, attempts: Mapping[str, Attempt]) -> dict[str, Before]:
    """The standing of every product that a run published and that still owes its outcome.

    Nothing is asked for the others.
    """
    runs = {id_: run for id_, each in attempts.items() if (run := run_of(each.message_id))}
    if not runs:
        return {}
    columns = (
        Product.id, Product.status, Product.reviewed_label, Product.settled_message_id,
        TaggingRow.id, TaggingRow.label, TaggingRow.confidence, TaggingRow.model_version,
        TaggingRow.flagged,
    )  # fmt: skip
    found = session.execute(
        select(*columns)
        .outerjoin(TaggingRow, TaggingRow.id == Product.current_tagging_id)
        .where(Product.id.in_(runs))
    ).all()
    moved = moves_of_models(session, sorted({row[7] for row in found if row[7] is not None}))
    return {
        id_: Before(
            run_id=runs[id_],
            message_id=attempts[id_].message_id,
            tagging_id=tagging_id,
            label=label,
            flagged=bool(flagged),
            confidence=confidence or 0.0,
            person_label=person if status == ProductStatus.REVIEWED else None,
            label_now=now_called(moved[version], label) if version and label else None,
        )
        for id_, status, person, settled, tagging_id, label, confidence, version, flagged in found
        # A message that came twice, or another model's second word: it is counted already.
        if settled != attempts[id_].message_id
    }


def flag_changes(
    outcomes: Sequence[Outcome], known: Mapping[str, Before], confidence_min: float
) -> list[Outcome]:
    """The outcomes, with changed labels flagged where the former model was this sure of its own.

    What a person decided is left alone: nobody is asked about it again.
    """
    return [_flagged(each, known.get(each.subject), confidence_min) for each in outcomes]


def _flagged(outcome: Outcome, known: Before | None, confidence_min: float) -> Outcome:
    result = outcome.result
    if known is None or known.person_label is not None or not isinstance(result, Tagging):
        return outcome
    if known.label is None or known.said(result.label) or known.confidence < confidence_min:
        return outcome
    # The audit sample measures what was accepted; this is not accepted.
    kept = tuple(each for each in result.reasons if each is not FlagReason.AUDIT_SAMPLE)
    reasons = (*kept, FlagReason.LABEL_CHANGED_ON_RETAG)
    return replace(outcome, result=replace(result, reasons=reasons))


def count(
    session: Session,
    outcomes: Sequence[Outcome],
    known: Mapping[str, Before],
    settled: Collection[str],
    tagging_ids: Mapping[tuple[str, str, str], int],
) -> None:
    """Count in their chunks the outcomes that settled their products, and keep what changed.

    settled: the products whose rows took the outcome for good, so that one delivered twice counts
    once. tagging_ids: by product id, image sha256 and model version.
    """
    latest = {each.subject: each for each in outcomes if each.subject in known}
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    changes = []
    for subject, outcome in sorted(latest.items()):
        if subject not in settled:
            continue
        column = _column(outcome, known[subject])
        counts[known[subject].message_id][column] += 1
        if column in ("changed", "failed"):
            changes.append(_change(outcome, known[subject], tagging_ids))
    for message_id, columns in sorted(counts.items()):
        _add(session, message_id, columns)
    if changes:
        session.execute(insert(session, RetagChange).values(changes).on_conflict_do_nothing())


@dataclass(frozen=True, kw_only=True)
class Known:
    """A picture that a model has looked at before, and what tells that it is still the same."""

    model_version: str
    image_validator: str


def known_pictures(session: Session, attempts: Mapping[str, Attempt]) -> dict[str, Known]:
    """Of the products that a run published, those whose picture may not have to be fetched."""
    ids = [id_ for id_, each in attempts.items() if run_of(each.message_id) is not None]
    if not ids:
        return {}
    columns = (Product.id, Product.last_model_version, Product.image_validator)
    found = session.execute(
        select(*columns).where(Product.id.in_(ids), Product.image_validator.is_not(None))
    )
    return {
        id_: Known(model_version=version, image_validator=validator)
        for id_, version, validator in found
        if version and validator
    }


def record_unchanged(
    session: Session, product_ids: Collection[str], attempts: Mapping[str, Attempt], now: datetime
) -> None:
    """Settle products of runs whose tagging stands: same picture, same model.

    Nothing is to be told of them, but where the last that was told is a failure.
    """
    together: dict[str, list[str]] = defaultdict(list)
    for product_id in sorted(product_ids):
        together[attempts[product_id].message_id].append(product_id)
    recovered: set[str] = set()
    for message_id, ids in sorted(together.items()):
        settled = transitions.settle_unchanged(session, ids, message_id, now)
        _add(session, message_id, {"skipped": len(settled)})
        recovered |= clear(session, settled)
    write(session, _events(session, recovered), now)


def _events(session: Session, product_ids: Collection[str]) -> list[NewEvent]:
    if not product_ids:
        return []
    taggings = session.scalars(
        select(TaggingRow)
        .join(Product, Product.current_tagging_id == TaggingRow.id)
        .where(Product.id.in_(product_ids), Product.status != ProductStatus.REVIEWED)
        .order_by(Product.id)
    )
    return [of_standing(each, None, open_=each.flagged) for each in taggings]


def _add(session: Session, message_id: str, columns: Mapping[str, int]) -> None:
    added = {name: getattr(RetagChunk, name) + number for name, number in columns.items()}
    session.execute(
        update(RetagChunk)
        .where(RetagChunk.message_id == message_id)
        .values(added)
        .execution_options(synchronize_session=False)
    )


def _column(outcome: Outcome, known: Before) -> str:
    if isinstance(outcome.result, Failure):
        return "failed"
    return "kept" if known.said(outcome.result.label) else "changed"


def _change(
    outcome: Outcome, known: Before, tagging_ids: Mapping[tuple[str, str, str], int]
) -> dict[str, object]:
    result = outcome.result
    tagged = result if isinstance(result, Tagging) else None
    key = (outcome.subject, tagged.image_sha256, tagged.model_version) if tagged else None
    return {
        "run_id": known.run_id,
        "product_id": outcome.subject,
        "from_label": known.label,
        "to_label": tagged.label if tagged else None,
        "reason_code": result.code.value if isinstance(result, Failure) else None,
        "confidence": tagged.confidence if tagged else None,
        "from_tagging_id": known.tagging_id,
        "to_tagging_id": tagging_ids[key] if key else None,
        "person_label": known.person_label,
        "flagged": tagged is not None and tagged.flagged and known.person_label is None,
    }
