"""Comparing a day with the 28 before it."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta

import numpy as np
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from catalog.drift import ALL_HOSTS, LEVEL, Measure, largest_changes
from catalog.events import EventKind
from catalog.statistics import DRIFT_ITEMS_MIN, drift, holm
from db.drift.models import DriftCount, DriftDay, DriftFinding, DriftNight
from db.drift.nights import Finding, Night, latest_night
from db.events.writing import NewEvent, write
from db.upsert import insert

DAYS_BEFORE = 28
COUNTS_KEPT = timedelta(days=60)
FINDINGS_KEPT = timedelta(days=400)

Histograms = Mapping[date, Counter[str]]


def compare_night(session: Session, day: date, now: datetime) -> Night | None:
    """Compare and store it; None where that was done before."""
    version, items = _main_model(session, day)
    compared = [] if version is None else _compared(session, day, version)
    adjusted = holm([p for p, _ in compared])
    findings = [
        finding(p_adjusted)
        for (_, finding), p_adjusted in zip(compared, adjusted, strict=True)
        if p_adjusted <= LEVEL
    ]
    mark = insert(session, DriftNight).values(
        day=day, model_version=version, items=items, comparisons=len(compared), compared_at=now
    )
    mine = session.scalars(mark.on_conflict_do_nothing().returning(DriftNight.day)).first()
    if mine is None:
        return None
    for each in findings:
        fields = asdict(each) | {"measure": each.measure.value}
        session.add(DriftFinding(day=day, **fields))
    session.flush()
    _forget_old(session, day)
    night = latest_night(session)
    if night is not None and findings:
        payload = night.as_json()
        write(session, [NewEvent(kind=EventKind.DRIFT, product_id=None, payload=payload)], now)
    return night


def _main_model(session: Session, day: date) -> tuple[str | None, int]:
    """The model that tagged most of the day: what another says is no word on the pictures."""
    items = func.sum(DriftCount.items)
    row = session.execute(
        select(DriftCount.model_version, items)
        .where(DriftCount.day == day, DriftCount.host == ALL_HOSTS)
        .where(DriftCount.measure == Measure.LABEL.value)
        .group_by(DriftCount.model_version)
        .order_by(items.desc(), DriftCount.model_version)
        .limit(1)
    ).first()
    return (None, 0) if row is None else (row[0], int(row[1]))


@dataclass(frozen=True, kw_only=True)
class _Unjudged:
    """A comparison whose p value is not adjusted yet."""

    host: str
    measure: Measure
    moved: float
    before: Counter[str]
    now: Counter[str]

    def __call__(self, p_adjusted: float) -> Finding:
        return Finding(
            host=self.host,
            measure=self.measure,
            items=self.now.total(),
            items_before=self.before.total(),
            moved=self.moved,
            p_adjusted=p_adjusted,
            changes=largest_changes(self.before, self.now),
        )


def _compared(session: Session, day: date, version: str) -> list[tuple[float, _Unjudged]]:
    found = []
    for host in _hosts(session, day, version):
        for measure, histograms in _histograms(session, day, version, host).items():
            judged = _judged(day, host, Measure(measure), histograms)
            if judged is not None:
                found.append(judged)
    return found


def _judged(
    day: date, host: str, measure: Measure, histograms: Histograms
) -> tuple[float, _Unjudged] | None:
    now = histograms.get(day, Counter())
    days = [each for each in histograms if each != day]
    bins = sorted(set().union(*histograms.values()))
    table = [[histograms[each][found] for found in bins] for each in days]
    before = np.array(table, np.int64).reshape(len(days), len(bins))
    judged = drift(before, np.array([now[found] for found in bins], np.int64))
    if judged is None:
        return None
    whole: Counter[str] = Counter()
    for each in days:
        whole.update(histograms[each])
    return judged.p, _Unjudged(
        host=host, measure=measure, moved=judged.moved, before=whole, now=now
    )


def _hosts(session: Session, day: date, version: str) -> Sequence[str]:
    """Those of which enough came on the day; there are DayCounter.HOSTS_MAX and two at most."""
    return session.scalars(
        select(DriftCount.host)
        .where(DriftCount.day == day, DriftCount.model_version == version)
        .where(DriftCount.measure == Measure.LABEL.value)
        .group_by(DriftCount.host)
        .having(func.sum(DriftCount.items) >= DRIFT_ITEMS_MIN)
        .order_by(DriftCount.host)
    ).all()


def _histograms(
    session: Session, day: date, version: str, host: str
) -> dict[str, dict[date, Counter[str]]]:
    """By measure and day, of the day and the 28 before it."""
    rows = session.execute(
        select(DriftCount.measure, DriftCount.day, DriftCount.bin, DriftCount.items)
        .where(DriftCount.day >= day - timedelta(days=DAYS_BEFORE), DriftCount.day <= day)
        .where(DriftCount.model_version == version, DriftCount.host == host)
        .order_by(DriftCount.measure, DriftCount.day)
    )
    found: dict[str, dict[date, Counter[str]]] = defaultdict(dict)
    for measure, when, where, items in rows:
        found[measure].setdefault(when, Counter())[where] = items
    return found


def _forget_old(session: Session, day: date) -> None:
    for table, kept in (
        (DriftCount, COUNTS_KEPT),
        (DriftDay, COUNTS_KEPT),
        (DriftNight, FINDINGS_KEPT),
        (DriftFinding, FINDINGS_KEPT),
    ):
        session.execute(delete(table).where(table.day < day - kept))
