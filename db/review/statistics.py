"""What the review desk, the machine and the people have done, in figures."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.orm import Session, aliased

from catalog.outcomes import FlagReason
from catalog.statistics import Proportion, cohens_kappa
from catalog.status import ProductStatus
from catalog.taxonomy.model import Taxonomy
from catalog.taxonomy.reserved import BAD_IMAGE
from db.ledger.models import Model, Product, Tagging
from db.ledger.taxonomies import taxonomy_in_force
from db.review.models import Action, Review, Reviewer, ReviewItem, WaitsFor

HOURS_SHOWN = 24
DAYS_SHOWN = 14
AGES = (("under 1 h", 1), ("1-4 h", 4), ("4-24 h", 24), ("1-3 days", 72), ("3-7 days", 168))
OLDEST = "over 7 days"
CHOICES_MAX = 200


@dataclass(frozen=True, kw_only=True)
class PersonFigures:
    """One reviewer: decisions that stand, in all and in the last hour; seconds is their mean."""

    name: str
    decisions: int
    last_hour: int
    undone: int
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class ModelFigures:
    """One model version. agreed: how often people, having looked, said what it said."""

    version: str
    tagged: int
    flagged: int
    agreed: Proportion
    audit: Proportion


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """The desk at one instant. A `bad_image` says nothing about a label and counts nowhere."""

    open: int
    second: int
    disputes: int
    oldest_at: datetime | None
    ages: Mapping[str, int]
    per_hour: Mapping[tuple[datetime, str], int]
    people: Sequence[PersonFigures]
    taxonomy: Taxonomy  # in force
    audit: Mapping[str, Proportion]  # by label, and `all`
    confusion: Mapping[tuple[str, str], int]  # (machine, person)
    reasons_per_day: Mapping[tuple[date, str], int]
    models: Sequence[ModelFigures]
    second_opinions: Proportion
    kappa: float | None


def statistics(session: Session, now: datetime) -> Statistics:
    """All figures of the dashboard."""
    waiting = ReviewItem.waits_for == WaitsFor.REVIEWER
    totals = session.execute(
        select(func.count(), func.min(ReviewItem.tagged_at)).where(waiting)
    ).one()
    count = select(func.count()).select_from(ReviewItem)
    disputes = count.where(ReviewItem.waits_for == WaitsFor.LEAD)
    confusion, audit, agreed = _judged(session)
    pairs = _second_opinions(session)
    taxonomy = taxonomy_in_force(session)
    return Statistics(
        open=totals[0],
        second=session.scalar(count.where(waiting, ReviewItem.round == 2)) or 0,
        disputes=session.scalar(disputes) or 0,
        oldest_at=totals[1],
        ages=_ages(session, now),
        per_hour=_per_hour(session, now),
        people=_people(session, now),
        taxonomy=taxonomy,
        audit=_audit(audit, taxonomy.ids),
        confusion=confusion,
        reasons_per_day=_reasons_per_day(session, now),
        models=_models(session, agreed, audit),
        second_opinions=Proportion.of(first == second for first, second in pairs),
        kappa=cohens_kappa(pairs),
    )


def choices(session: Session) -> tuple[list[str], list[str]]:
    """The model versions and declared labels that occur in the queue, for filters."""
    models = session.scalars(select(Model.version).order_by(Model.version).limit(CHOICES_MAX))
    label = ReviewItem.declared_label
    declared = session.scalars(
        select(label).where(label.is_not(None)).distinct().order_by(label).limit(CHOICES_MAX)
    )
    return list(models), [str(each) for each in declared]


Cell = tuple[str, str, bool]  # label, model version, right


def _judged(
    session: Session,
) -> tuple[dict[tuple[str, str], int], Counter[Cell], Counter[Cell]]:
    """Machine against people; the audit sample; everything that was judged."""
    sampled = _has(FlagReason.AUDIT_SAMPLE).label("sampled")
    rows = session.execute(
        select(
            ReviewItem.label,
            Product.reviewed_label,
            ReviewItem.model_version,
            sampled,
            func.count(),
        )
        .join(Product, Product.current_tagging_id == ReviewItem.tagging_id)
        .where(Product.status == ProductStatus.REVIEWED, Product.reviewed_label.is_not(None))
        .group_by(ReviewItem.label, Product.reviewed_label, ReviewItem.model_version, sampled)
    )
    confusion: dict[tuple[str, str], int] = defaultdict(int)
    audit: Counter[Cell] = Counter()
    agreed: Counter[Cell] = Counter()
    for machine, person, version, is_sample, count in rows:
        confusion[machine, person or ""] += count
        if person != BAD_IMAGE:
            (audit if is_sample else agreed)[machine, version, machine == person] += count
    return dict(confusion), audit, agreed + audit


def _audit(cells: Counter[Cell], labels: Sequence[str]) -> dict[str, Proportion]:
    found = {label: _proportion(cells, lambda cell, at=label: cell[0] == at) for label in labels}
    return found | {"all": _proportion(cells, lambda cell: True)}


def _models(session: Session, agreed: Counter[Cell], audit: Counter[Cell]) -> list[ModelFigures]:
    flagged = func.sum(case((Tagging.flagged, 1), else_=0))
    rows = session.execute(
        select(Tagging.model_version, func.count(), flagged)
        .group_by(Tagging.model_version)
        .order_by(Tagging.model_version)
    )
    return [
        ModelFigures(
            version=version,
            tagged=tagged,
            flagged=flags or 0,
            agreed=_proportion(agreed, lambda cell, at=version: cell[1] == at),
            audit=_proportion(audit, lambda cell, at=version: cell[1] == at),
        )
        for version, tagged, flags in rows
    ]


def _proportion(cells: Counter[Cell], fits: object) -> Proportion:
    assert callable(fits)
    right = sum(count for cell, count in cells.items() if fits(cell) and cell[2])
    whole = sum(count for cell, count in cells.items() if fits(cell))
    return Proportion(right=right, whole=whole)


def _ages(session: Session, now: datetime) -> dict[str, int]:
    # Six counts of index ranges are much cheaper than one scan with six sums.
    waiting = select(func.count()).where(ReviewItem.waits_for == WaitsFor.REVIEWER)
    bounds = [now - timedelta(hours=hours) for _, hours in AGES]
    younger = [session.scalar(waiting.where(ReviewItem.tagged_at > bound)) for bound in bounds]
    cumulative = [0, *(count or 0 for count in younger), session.scalar(waiting) or 0]
    names = [*(name for name, _ in AGES), OLDEST]
    steps = zip(names, cumulative[:-1], cumulative[1:], strict=True)
    return {name: after - before for name, before, after in steps}


def _per_hour(session: Session, now: datetime) -> dict[tuple[datetime, str], int]:
    since = now - timedelta(hours=HOURS_SHOWN)
    rows = session.execute(
        select(Review.decided_at, Reviewer.name)
        .join(Reviewer, Reviewer.id == Review.reviewer_id)
        .where(Review.decided_at >= since, Review.action.not_in((Action.UNDO, Action.SKIP)))
    )
    hours = ((at.replace(minute=0, second=0, microsecond=0), name) for at, name in rows)
    return dict(Counter(hours))


def _people(session: Session, now: datetime) -> list[PersonFigures]:
    undoing = aliased(Review)
    hour_ago = now - timedelta(hours=1)
    decided = Review.action.not_in((Action.UNDO, Action.SKIP))
    stands = decided & undoing.id.is_(None)
    rows = session.execute(
        select(
            Reviewer.name,
            func.sum(case((stands, 1), else_=0)),
            func.sum(case((stands & (Review.decided_at >= hour_ago), 1), else_=0)),
            func.count(undoing.id),
            func.avg(case((stands, Review.seconds))),
        )
        .join(Review, Review.reviewer_id == Reviewer.id)
        .outerjoin(undoing, undoing.undoes_id == Review.id)
        .group_by(Reviewer.name)
        .order_by(Reviewer.name)
    )
    return [
        PersonFigures(name=name, decisions=count, last_hour=recent, undone=undone, seconds=seconds)
        for name, count, recent, undone, seconds in rows
    ]


def _reasons_per_day(session: Session, now: datetime) -> dict[tuple[date, str], int]:
    instant: ColumnElement[datetime] = ReviewItem.tagged_at.expression
    if session.get_bind().dialect.name == "postgresql":
        instant = func.timezone("UTC", ReviewItem.tagged_at)
    day = func.date(instant).label("day")
    since = now - timedelta(days=DAYS_SHOWN - 1)
    rows = session.execute(
        select(day, ReviewItem.reasons, func.count())
        .where(ReviewItem.tagged_at >= since.replace(hour=0, minute=0, second=0, microsecond=0))
        .group_by(day, ReviewItem.reasons)
    )
    found: Counter[tuple[date, str]] = Counter()
    for at, reasons, count in rows:
        for reason in reasons.split():
            found[date.fromisoformat(str(at)), reason] += count
    return dict(found)


def _second_opinions(session: Session) -> list[tuple[str, str]]:
    """The first two opinions of every item that two people judged blindly."""
    undoing = aliased(Review)
    twice = select(Review.tagging_id).where(Review.round == 2, Review.action != Action.SKIP)
    rows = session.execute(
        select(Review.tagging_id, Review.label, Review.reviewer_id)
        .outerjoin(undoing, undoing.undoes_id == Review.id)
        .where(Review.tagging_id.in_(twice), undoing.id.is_(None))
        .where(Review.action.not_in((Action.UNDO, Action.SKIP)), Review.round < 3)
        .order_by(Review.id)
    )
    opinions: dict[int, dict[int, str]] = defaultdict(dict)
    for tagging_id, label, reviewer_id in rows:
        opinions[tagging_id].setdefault(reviewer_id, label or "")
    return [_first_two(said.values()) for said in opinions.values() if len(said) > 1]


def _first_two(labels: Iterable[str]) -> tuple[str, str]:
    first, second, *_ = labels
    return first, second


def _has(reason: FlagReason) -> ColumnElement[bool]:
    return ReviewItem.reasons.contains(f" {reason.value} ", autoescape=True)
