"""What the nights found."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.drift import Change, Measure, told
from db.drift.models import DriftFinding, DriftNight


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What moved beyond chance: of which host, and how.

    moved: the share of items that are in other bins than before. p_adjusted: held against the
    level of the whole night.
    """

    host: str
    measure: Measure
    items: int
    items_before: int
    moved: float
    p_adjusted: float
    changes: Sequence[Change]

    @property
    def sentence(self) -> str:
        return f"{self.measure.value} of {self.host}: {told(self.changes)}"


@dataclass(frozen=True, kw_only=True)
class Night:
    """One day against the 28 before it; findings: the largest move first."""

    day: date
    model_version: str | None
    items: int
    comparisons: int
    findings: Sequence[Finding]

    def as_json(self) -> dict[str, Any]:
        """In JSON's types."""
        return asdict(self) | {
            "day": self.day.isoformat(),
            "findings": [asdict(each) | {"measure": each.measure.value} for each in self.findings],
        }


def latest_night(session: Session) -> Night | None:
    """The newest night that was compared, with what it found."""
    night = session.scalars(select(DriftNight).order_by(DriftNight.day.desc()).limit(1)).first()
    if night is None:
        return None
    wanted = select(DriftFinding).where(DriftFinding.day == night.day)
    findings = session.scalars(wanted.order_by(DriftFinding.moved.desc(), DriftFinding.host))
    return Night(
        day=night.day,
        model_version=night.model_version,
        items=night.items,
        comparisons=night.comparisons,
        findings=[_finding(each) for each in findings],
    )


def _finding(row: DriftFinding) -> Finding:
    return Finding(
        host=row.host,
        measure=Measure(row.measure),
        items=row.items,
        items_before=row.items_before,
        moved=row.moved,
        p_adjusted=row.p_adjusted,
        changes=[Change(**each) for each in row.changes],
    )
