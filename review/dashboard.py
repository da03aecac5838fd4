"""The dashboard: charts as SVG shapes, and the same figures as tables."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from catalog.drift import Change, Measure
from catalog.outcomes import FlagReason
from catalog.statistics import Proportion
from catalog.taxonomy.model import Taxonomy
from db.drift.nights import Night
from db.review.statistics import DAYS_SHOWN, HOURS_SHOWN, Statistics
from review.confusion import Confusion, Group, confusion

PALETTE = 6  # the style sheet's series colours
MEASURES = {
    Measure.LABEL: "labels",
    Measure.CONFIDENCE: "confidences",
    Measure.FLAGGED: "flagged for a person",
    Measure.DISTANCE: "distance from known pictures",
}


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One part of a stacked column: y and height in 0-100, series is its colour."""

    y: float
    height: float
    series: int
    title: str


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a stacked chart."""

    name: str
    segments: tuple[Segment, ...]


@dataclass(frozen=True, kw_only=True)
class Stacked:
    """Columns over time; the table is the same in figures."""

    columns: tuple[Column, ...]
    series: tuple[str, ...]
    top: int
    table: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A share as text, and where its dot and line stand on an axis from 0 to 100."""

    name: str
    whole: int
    text: str
    range: str
    at: float | None
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Moved:
    """One thing that came otherwise on the last day than in the 28 before."""

    host: str
    what: str
    items: int
    share: str
    changes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Drift:
    """The last night's comparison in words; moved is empty where all is as before."""

    summary: str
    moved: tuple[Moved, ...]


@dataclass(frozen=True, kw_only=True)
class View:
    """Everything the template shows."""

    statistics: Statistics
    oldest: str
    ages: tuple[tuple[str, int, float], ...]
    hours: Stacked
    reasons: Stacked
    audit: tuple[Interval, ...]
    second: Interval
    kappa: str
    confusion: Confusion
    models: tuple[tuple[str, int, str, Interval, Interval], ...]
    drift: Drift


def view(
    found: Statistics, opened: Collection[str] | None = None, night: Night | None = None
) -> View:
    """The dashboard of these figures; opened: the parents whose categories are shown apart."""
    matrix = confusion(found.taxonomy, found.confusion, opened)
    most = max([1, *found.ages.values()])
    return View(
        statistics=found,
        oldest=f"{found.oldest_at:%Y-%m-%d %H:%M} UTC" if found.oldest_at else "–",
        ages=tuple((name, count, 100 * count / most) for name, count in found.ages.items()),
        hours=_hours(found),
        reasons=_reasons(found),
        audit=_audit(found, matrix.groups),
        second=interval("second opinions", found.second_opinions),
        kappa="–" if found.kappa is None else f"{found.kappa:.2f}",
        confusion=matrix,
        models=tuple(
            (
                each.version,
                each.tagged,
                f"{100 * each.flagged / each.tagged:.1f} %" if each.tagged else "–",
                interval(each.version, each.agreed),
                interval(each.version, each.audit),
            )
            for each in found.models
        ),
        drift=_drift(night, found.taxonomy),
    )


def interval(name: str, share: Proportion) -> Interval:
    """A share with its 95 % interval, ready to be drawn."""
    low, high = share.interval
    known = share.share
    return Interval(
        name=name,
        whole=share.whole,
        text="–" if known is None else f"{100 * known:.1f} %",
        range=f"{100 * low:.1f}-{100 * high:.1f} %" if share.whole else "–",
        at=None if known is None else round(100 * known, 2),
        low=round(100 * low, 2),
        high=round(100 * high, 2),
    )


def _drift(night: Night | None, taxonomy: Taxonomy) -> Drift:
    if night is None:
        return Drift(summary="No day was compared with those before it yet.", moved=())
    compared = f"{night.day}: {night.items:,} items, {night.comparisons} comparisons"
    if not night.findings:
        return Drift(summary=f"{compared}; nothing moved beyond chance.", moved=())
    return Drift(
        summary=f"{compared}, {len(night.findings)} of which moved.",
        moved=tuple(
            Moved(
                host=each.host,
                what=MEASURES[each.measure],
                items=each.items,
                share=f"{100 * each.moved:.1f} %",
                changes=tuple(_change(each.measure, change, taxonomy) for change in each.changes),
            )
            for each in night.findings
        ),
    )


def _change(measure: Measure, change: Change, taxonomy: Taxonomy) -> str:
    named = measure is Measure.LABEL and change.bin in taxonomy.by_id
    name = taxonomy.name_of(change.bin) if named else change.bin
    return f"{name} {100 * change.before:.1f} → {100 * change.now:.1f} %"


def _hours(found: Statistics) -> Stacked:
    names = sorted({name for _, name in found.per_hour})
    if not found.per_hour:
        return _stacked((), (), {})
    last = max(hour for hour, _ in found.per_hour)
    hours = [last - timedelta(hours=back) for back in range(HOURS_SHOWN - 1, -1, -1)]
    counts = {(f"{hour:%H}:00", name): n for (hour, name), n in found.per_hour.items()}
    return _stacked(tuple(f"{hour:%H}:00" for hour in hours), tuple(names), counts)


def _reasons(found: Statistics) -> Stacked:
    if not found.reasons_per_day:
        return _stacked((), (), {})
    last = max(day for day, _ in found.reasons_per_day)
    days = [last - timedelta(days=back) for back in range(DAYS_SHOWN - 1, -1, -1)]
    counts = {(f"{day:%m-%d}", reason): n for (day, reason), n in found.reasons_per_day.items()}
    return _stacked(tuple(f"{day:%m-%d}" for day in days), tuple(FlagReason), counts)


def _stacked(
    columns: tuple[str, ...], series: tuple[str, ...], counts: dict[tuple[str, str], int]
) -> Stacked:
    sums = {column: sum(counts.get((column, each), 0) for each in series) for column in columns}
    top = max([1, *sums.values()])
    made = []
    for column in columns:
        y, segments = 100.0, []
        for number, each in enumerate(series):
            count = counts.get((column, each), 0)
            height = 100 * count / top
            y -= height
            if count:
                segments.append(
                    Segment(
                        y=round(y, 2),
                        height=round(height, 2),
                        series=number % PALETTE,
                        title=f"{column}, {each.replace('_', ' ')}: {count}",
                    )
                )
        made.append(Column(name=column, segments=tuple(segments)))
    rows = tuple(
        (column, *(str(counts.get((column, each), 0)) for each in series), str(sums[column]))
        for column in columns
        if sums[column]
    )
    shown = tuple(each.replace("_", " ") for each in series)
    return Stacked(columns=tuple(made), series=shown, top=top, table=rows)


def _audit(found: Statistics, groups: Sequence[Group]) -> tuple[Interval, ...]:
    """By the rows of the matrix, and all together."""
    rows = []
    for group in groups:
        shares = [found.audit[label] for label in group.labels if label in found.audit]
        right, whole = sum(each.right for each in shares), sum(each.whole for each in shares)
        rows.append(interval(group.name, Proportion(right=right, whole=whole)))
    return (*rows, interval("all", found.audit["all"]))
