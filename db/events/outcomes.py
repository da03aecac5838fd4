"""Which events a batch's outcomes are."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.events import EventKind
from catalog.outcomes import Failure, Outcome, Tagging
from catalog.status import ProductStatus
from db.events.fields import MACHINE, PERSON
from db.events.writing import NewEvent
from db.ledger.models import Tagging as TaggingRow
from db.ledger.product_rows import Standing
from db.retag.outcomes import Before


@dataclass(frozen=True, kw_only=True)
class Known:
    """What was known of products before their outcomes.

    standings: their rows, read under their locks. runs: of those that a re-tagging run published.
    recovered: those that had a dead letter until now.
    """

    standings: Mapping[str, Standing]
    runs: Mapping[str, Before]
    recovered: Collection[str] = ()


def of_outcomes(
    session: Session, outcomes: Sequence[Outcome], settled: Collection[str], known: Known
) -> list[NewEvent]:
    """The events of those products whose rows took their outcome.

    What a sender asked for is always answered. A re-tagging run, which nobody awaits, is silent
    about what it left as it was, and about what a person decided.
    """
    latest = {each.subject: each for each in outcomes if each.subject in settled}
    labels = _labels(session, [each for each in latest if each not in known.runs], known.standings)
    events = []
    for subject, outcome in latest.items():
        run = known.runs.get(subject)
        standing = known.standings.get(subject)
        person = standing.reviewed_label if standing and standing.reviewed else None
        if isinstance(outcome.result, Failure):
            before = person or (run.label if run else labels.get(subject))
            events.append(_failed(subject, outcome.result, person, before))
        elif run is None or person is None:
            kind = _kind(outcome.result, person, run, subject in known.recovered)
            if kind is not None:
                before = person or (run.label if run else labels.get(subject))
                events.append(_tagged(subject, kind, outcome.result, person, before))
    return events


def _kind(
    result: Tagging, person: str | None, run: Before | None, recovered: bool
) -> EventKind | None:
    now = EventKind.FLAGGED if result.flagged and person is None else EventKind.TAGGED
    if run is None or run.label is None:
        return now
    if not run.said(result.label):
        return EventKind.CHANGED
    return now if recovered or result.flagged != run.flagged else None


def _tagged(
    product_id: str, kind: EventKind, result: Tagging, person: str | None, before: str | None
) -> NewEvent:
    state = ProductStatus.NEEDS_REVIEW if result.flagged else ProductStatus.TAGGED
    payload: dict[str, Any] = {
        "state": (state if person is None else ProductStatus.REVIEWED).value,
        "label": person or result.label,
        "confidence": round(result.confidence, 6) if person is None else None,
        "decided_by": MACHINE if person is None else PERSON,
        "previous_label": before,
        "model_version": result.model_version,
    }
    if result.flagged and person is None:
        payload["reasons"] = [reason.value for reason in result.reasons]
    return NewEvent(kind=kind, product_id=product_id, payload=payload)


def _failed(product_id: str, result: Failure, person: str | None, before: str | None) -> NewEvent:
    payload: dict[str, Any] = {
        "state": (ProductStatus.FAILED if person is None else ProductStatus.REVIEWED).value,
        "label": person,
        "decided_by": None if person is None else PERSON,
        "previous_label": before,
        "reason_code": result.code.value,
    }
    return NewEvent(kind=EventKind.FAILED, product_id=product_id, payload=payload)


def _labels(
    session: Session, product_ids: Sequence[str], standings: Mapping[str, Standing]
) -> dict[str, str]:
    """What the machine called them before; a product that is new has nothing to ask for."""
    ids = {
        tagging_id: product_id
        for product_id in product_ids
        if (standing := standings.get(product_id)) is not None
        and (tagging_id := standing.current_tagging_id) is not None
    }
    if not ids:
        return {}
    found = session.execute(select(TaggingRow.id, TaggingRow.label).where(TaggingRow.id.in_(ids)))
    return {ids[tagging_id]: label for tagging_id, label in found}
