"""Recording what people decide, and taking it back.

Each decision is a row of the append-only audit; the queue's row and the product's label in force
are worked out anew from all rows of the tagging. The product is locked first, as the workers do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from catalog.status import ProductStatus
from catalog.taxonomy.model import Taxonomy
from catalog.taxonomy.reserved import BAD_IMAGE, NOT_IN_TAXONOMY
from db.events import people as events_of_people
from db.events.writing import write
from db.ledger import transitions
from db.ledger.models import Product, Tagging
from db.ledger.taxonomies import taxonomy_to_judge_by
from db.review.errors import (
    KeyReusedError,
    OwnOpinionError,
    StaleDecisionError,
    UndoError,
    UnknownItemError,
    UnknownLabelError,
)
from db.review.leases import LEASE
from db.review.lessons import teach
from db.review.models import Action, Channel, Review, Reviewer, ReviewItem, Role, WaitsFor
from db.review.opinions import OpinionsNow
from db.review.standing import NO_DECISION, Opinion, drawn_for_second, effective, standing
from db.taxonomies.moves import moves_of_models, now_called

UNDO_STEPS = 10
LABELS_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a person says of one item.

    version is the item's as it was shown. key is the request's own: the same key sent again is
    the same decision. step is shared by the decisions of one keystroke, which are undone together.
    label is wanted for `correct` only. seconds from seeing to deciding, where known.
    """

    tagging_id: int
    version: int
    action: Action
    key: str
    channel: Channel
    label: str | None = None
    step: str | None = None
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class _Place:
    product: Product
    item: ReviewItem
    tagging: Tagging


def decide(
    session: Session,
    reviewer: Reviewer,
    decision: Decision,
    now: datetime,
    *,
    second_share: float = 0.0,
) -> Review:
    """Record a decision and put it in force.

    Raises:
        UnknownItemError, UnknownLabelError: there is no such item or label.
        StaleDecisionError: the item changed since it was shown; the message says how.
        OwnOpinionError: the item waits for a second opinion, and the first one is the reviewer's.
        KeyReusedError: the key belongs to another decision.
    """
    earlier = session.scalar(select(Review).where(Review.request_key == decision.key))
    if earlier is not None:
        return _same(earlier, reviewer, decision)
    place = _locked(session, decision.tagging_id)
    taxonomy = taxonomy_to_judge_by(session, place.tagging.model_version)
    label = _label_wanted(taxonomy, decision)
    _require_fresh(session, place, reviewer, decision, now)
    _require_another_person(session, place, reviewer, decision)
    action = decision.action
    machine = _machines_label(session, place)
    if action is Action.ACCEPT and machine is None:
        raise UnknownLabelError(
            f"Expected another category than {place.tagging.label!r}, which {taxonomy.title} does "
            "not have any more. Choose one."
        )
    if action is Action.ACCEPT or (action is Action.CORRECT and label == machine):
        action, label = Action.ACCEPT, machine
    review = _audit_row(place, reviewer, decision, now)
    review.action, review.label = action, label
    review.taxonomy_name, review.taxonomy_version = taxonomy.name, taxonomy.version
    session.add(review)
    session.flush()
    # Whoever adopts another one waits for the audit's rows, and asks again about this one.
    _require_in_force(session, place, taxonomy)
    _settle(session, place, reviewer, now, second_share)
    return review


def undo(
    session: Session, reviewer: Reviewer, now: datetime, *, key: str, second_share: float = 0.0
) -> list[Review]:
    """Take back the reviewer's last step that stands, one of their last ten.

    The items are leased to the reviewer again. Returns the new rows of the audit.

    Raises:
        UndoError: nothing is left to undo, or somebody has decided the item since.
    """
    again = session.scalar(select(Review.step).where(Review.request_key == key))
    if again is not None:
        rows = session.scalars(select(Review).where(Review.step == again).order_by(Review.id))
        return list(rows)
    rows_undone = []
    for number, review in enumerate(_last_step(session, reviewer)):
        place = _locked(session, review.tagging_id)
        _require_last(session, review, place)
        row = Review(
            request_key=key if number == 0 else f"{key}.{number}",
            action=Action.UNDO,
            label=None,
            step=key,
            undoes_id=review.id,
            channel=review.channel,
            **_subject(place, reviewer, now),
        )
        session.add(row)
        session.flush()
        _settle(session, place, reviewer, now, second_share)
        place.item.leased_by, place.item.leased_until = reviewer.id, now + LEASE
        rows_undone.append(row)
    session.flush()
    return rows_undone


def history(session: Session, tagging_id: int) -> list[Review]:
    """Every row of the audit about a tagging, oldest first."""
    statement = select(Review).where(Review.tagging_id == tagging_id).order_by(Review.id)
    return list(session.scalars(statement))


def etag(tagging_id: int, version: int) -> str:
    """The strong entity tag of an item."""
    return f'"{tagging_id}.{version}"'


def _label_wanted(taxonomy: Taxonomy, decision: Decision) -> str | None:
    fixed = {Action.NOT_IN_TAXONOMY: NOT_IN_TAXONOMY, Action.BAD_IMAGE: BAD_IMAGE}
    if decision.action is not Action.CORRECT:
        return fixed.get(decision.action)
    label = taxonomy.find(decision.label or "")
    if label not in taxonomy.ids:
        raise UnknownLabelError(
            f"Expected a category of {taxonomy.title} ({_some(taxonomy.ids)}), received "
            f"{str(decision.label)[:64]!r}."
        )
    return label


def _machines_label(session: Session, place: _Place) -> str | None:
    """The machine's label in the taxonomy in force."""
    version = place.tagging.model_version
    return now_called(moves_of_models(session, [version])[version], place.tagging.label)


def _require_in_force(session: Session, place: _Place, taxonomy: Taxonomy) -> None:
    now = taxonomy_to_judge_by(session, place.tagging.model_version)
    if now.title != taxonomy.title:
        raise StaleDecisionError("The categories have changed since you saw it. Look at it anew.")


def _some(labels: Sequence[str]) -> str:
    shown, more = ", ".join(labels[:LABELS_SHOWN]), len(labels) - LABELS_SHOWN
    return shown if more <= 0 else f"{shown} and {more} more"


def _same(earlier: Review, reviewer: Reviewer, decision: Decision) -> Review:
    if (earlier.reviewer_id, earlier.tagging_id) != (reviewer.id, decision.tagging_id):
        raise KeyReusedError(
            "Expected a new key for a new decision, received one that is in the audit already."
        )
    return earlier


def _locked(session: Session, tagging_id: int) -> _Place:
    """The rows of an item, the product's lock taken first."""
    tagging = session.get(Tagging, tagging_id)
    if tagging is None:
        raise UnknownItemError(f"Expected an item of the queue, found no tagging {tagging_id}.")
    product = session.get_one(
        Product, tagging.product_id, with_for_update=True, populate_existing=True
    )
    item = session.get(ReviewItem, tagging.product_id, with_for_update=True, populate_existing=True)
    if item is None:
        raise UnknownItemError(
            f"Expected an item of the queue; {tagging.product_id} does not wait for a person "
            f"(it is {product.status})."
        )
    if item.tagging_id != tagging_id:
        raise StaleDecisionError(
            f"{tagging.product_id} has been tagged again since you saw it. Look at it anew."
        )
    return _Place(product=product, item=item, tagging=tagging)


def _require_fresh(
    session: Session, place: _Place, reviewer: Reviewer, decision: Decision, now: datetime
) -> None:
    if place.product.status not in (ProductStatus.NEEDS_REVIEW, ProductStatus.REVIEWED):
        raise StaleDecisionError(
            f"{place.product.id} has been sent to the machine again (it is "
            f"{place.product.status}). It comes back when it is tagged."
        )
    if place.item.version != decision.version:
        raise StaleDecisionError(_what_happened(session, place, now))
    allowed = {WaitsFor.REVIEWER} | (set(WaitsFor) if reviewer.role == Role.LEAD else set())
    if place.item.waits_for not in allowed:
        raise StaleDecisionError(_what_happened(session, place, now))
    holder = place.item.leased_by
    if holder not in (None, reviewer.id) and (place.item.leased_until or now) >= now:
        raise StaleDecisionError(_what_happened(session, place, now))


def _require_another_person(
    session: Session, place: _Place, reviewer: Reviewer, decision: Decision
) -> None:
    """A blind pair is of two people: whoever judged an item may at most pass it on.

    Claims do not hand it out to them; this holds where nothing was claimed, too.
    """
    second = place.item.waits_for == WaitsFor.REVIEWER and place.item.round > 1
    if not second or decision.action is Action.SKIP:
        return
    said = {each.reviewer_id for each in effective(history(session, place.tagging.id))}
    if reviewer.id in said:
        raise OwnOpinionError(
            f"The first opinion on {place.product.id} is yours; the second is for somebody else, "
            "who does not see it. Nothing was changed; to say something else, undo."
        )


def _what_happened(session: Session, place: _Place, now: datetime) -> str:
    """Why a decision came too late, for the person who made it."""
    name, item = place.product.id, place.item
    last = session.execute(
        select(Review, Reviewer.name)
        .join(Reviewer, Reviewer.id == Review.reviewer_id)
        .where(Review.tagging_id == item.tagging_id, Review.action != Action.SKIP)
        .order_by(Review.id.desc())
        .limit(1)
    ).first()
    if item.waits_for != WaitsFor.REVIEWER and last is not None:
        at = f"{last[0].decided_at:%H:%M:%S} UTC"
        said = "took a decision back" if last[0].action == Action.UNDO else "decided it"
        return f"{last[1]} {said} at {at}; {name} is not open any more. Nothing was changed."
    if item.leased_by is not None and item.leased_until is not None and item.leased_until >= now:
        holder = session.get_one(Reviewer, item.leased_by).name
        return f"{name} is now with {holder}: your lease had ended. Nothing was changed."
    return f"{name} has changed since you saw it. Nothing was changed; look at it anew."


def _subject(place: _Place, reviewer: Reviewer, now: datetime) -> dict[str, object]:
    return {
        "product_id": place.product.id,
        "tagging_id": place.tagging.id,
        "reviewer_id": reviewer.id,
        "machine_label": place.tagging.label,
        "machine_confidence": place.tagging.confidence,
        "model_version": place.tagging.model_version,
        "image_sha256": place.tagging.image_sha256,
        "round": place.item.round,
        "decided_at": now,
    }


def _audit_row(place: _Place, reviewer: Reviewer, decision: Decision, now: datetime) -> Review:
    return Review(
        request_key=decision.key,
        channel=decision.channel,
        step=decision.step or decision.key,
        seconds=decision.seconds,
        **_subject(place, reviewer, now),
    )


def _settle(
    session: Session, place: _Place, reviewer: Reviewer, now: datetime, second_share: float
) -> None:
    """Work out queue row and product from the audit; the reviewer has just spoken."""
    decisions = OpinionsNow(session).standing(effective(history(session, place.tagging.id)))
    people = select(Reviewer.id, Reviewer.role).where(
        Reviewer.id.in_({review.reviewer_id for review, _ in decisions})
    )
    roles = {reviewer_id: Role(role) for reviewer_id, role in session.execute(people)}
    wants_second = drawn_for_second(place.product.id, second_share) and _several(session)
    result = standing(
        [Opinion(label=label, role=roles[review.reviewer_id]) for review, label in decisions],
        wants_second=wants_second,
    )
    item, product = place.item, place.product
    item.round, item.waits_for = result.round, result.waits_for
    item.version += 1
    item.leased_by = item.leased_until = None
    before = product.reviewed_label if product.status == ProductStatus.REVIEWED else None
    transitions.review(product, result.label, now)
    taxonomy = taxonomy_to_judge_by(session, place.tagging.model_version)
    events = events_of_people.of_review(product, before, place.tagging, taxonomy, reviewer.name)
    write(session, events, now)
    session.flush()
    teach(session, item, place.tagging.network, result.label)


def _several(session: Session) -> bool:
    """A shop of one would wait for ever for a second opinion."""
    enabled = select(func.count()).select_from(Reviewer).where(Reviewer.disabled_at.is_(None))
    return (session.scalar(enabled) or 0) > 1


def _last_step(session: Session, reviewer: Reviewer) -> Sequence[Review]:
    """The decisions of the reviewer's newest step that is not undone, the newest first."""
    steps = session.execute(
        select(Review.step, func.max(Review.id).label("last"))
        .where(Review.reviewer_id == reviewer.id, Review.action != Action.UNDO)
        .group_by(Review.step)
        .order_by(func.max(Review.id).desc())
        .limit(UNDO_STEPS)
    ).all()
    undoing = aliased(Review)
    for step, _ in steps:
        standing_rows = session.scalars(
            select(Review)
            .outerjoin(undoing, undoing.undoes_id == Review.id)
            .where(Review.step == step, Review.reviewer_id == reviewer.id, undoing.id.is_(None))
            .order_by(Review.id.desc())
        ).all()
        if standing_rows:
            return standing_rows
    raise UndoError(f"Nothing left to undo: the last {UNDO_STEPS} steps can be taken back.")


def _require_last(session: Session, review: Review, place: _Place) -> None:
    if review.action in NO_DECISION:
        return
    decisions = effective(history(session, review.tagging_id))
    if not decisions or decisions[-1].id != review.id:
        raise UndoError(
            f"Somebody has judged {place.product.id} after you, so your decision stays in the "
            "audit. Ask a lead to settle it."
        )
