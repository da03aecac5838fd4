"""What a run changed: a matrix of labels, with examples."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.ledger.models import Tagging, Thumbnail
from db.retag import runs as retag_runs
from db.retag.models import RetagChange
from db.retag.progress import Progress, progress

EXAMPLES = 4


@dataclass(frozen=True, kw_only=True)
class Example:
    """A product that changed; overlay_jpeg is None where the thumbnail was pruned."""

    product_id: str
    confidence: float
    former_confidence: float | None
    person_label: str | None
    flagged: bool
    overlay_jpeg: bytes | None


@dataclass(frozen=True, kw_only=True)
class Cell:
    """All products whose label went the same way; from_label None: they had none before.

    share: of the products that had from_label before the run, 0-1. examples: those that the new
    model is most sure of.
    """

    from_label: str | None
    to_label: str
    count: int
    share: float | None
    examples: Sequence[Example]


@dataclass(frozen=True, kw_only=True)
class Report:
    """A run and what it changed, the greatest changes first.

    agrees_now: reviewed products where the new model says what the person said and the former one
    did not; disagrees_now: the other way round. Their labels are the person's all the same.
    """

    progress: Progress
    labels_before: Mapping[str, int]
    cells: Sequence[Cell]
    failures: Mapping[str, int]
    flagged: int
    reviewed: int
    agrees_now: int
    disagrees_now: int

    @property
    def labels(self) -> list[str]:
        """Every label that stands in a row or a column, also those that one model alone knows."""
        named = {cell.to_label for cell in self.cells} | set(self.labels_before)
        return sorted(named)

    def as_json(self) -> dict[str, Any]:
        return {
            "run": self.progress.as_json(),
            "labels_before": dict(self.labels_before),
            "changes": [_cell_as_json(cell) for cell in self.cells],
            "failures": dict(self.failures),
            "flagged": self.flagged,
            "reviewed": {
                "changed": self.reviewed,
                "agrees_now": self.agrees_now,
                "disagrees_now": self.disagrees_now,
            },
        }


def report(session: Session, run_id: int, now: datetime, *, examples: int = EXAMPLES) -> Report:
    """Read a run's changes, by its own index: what did not change is not looked at.

    Raises:
        RunError: there is no such run.
    """
    run = retag_runs.find(session, run_id)
    mine = RetagChange.run_id == run_id
    changed = RetagChange.to_label.is_not(None)
    pair = (RetagChange.from_label, RetagChange.to_label)
    counted = select(*pair, func.count()).where(mine, changed).group_by(*pair)
    rows = sorted(session.execute(counted).all(), key=lambda row: -row[2])
    code = RetagChange.reason_code
    failed = select(code, func.count()).where(mine, code.is_not(None)).group_by(code)
    return Report(
        progress=progress(session, run, now),
        labels_before=run.labels_before,
        cells=[
            _cell(session, run_id, source, target, count, run.labels_before, examples)
            for source, target, count in rows
            if target is not None
        ],
        failures={str(reason): count for reason, count in session.execute(failed)},
        flagged=_count(session, mine, RetagChange.flagged),
        **_reviewed(session, mine, changed),
    )


def _cell(
    session: Session,
    run_id: int,
    source: str | None,
    target: str,
    count: int,
    labels_before: Mapping[str, int],
    examples: int,
) -> Cell:
    whole = labels_before.get(source or "")
    former = select(Tagging.confidence).where(Tagging.id == RetagChange.from_tagging_id)
    overlay = select(Thumbnail.overlay_jpeg).where(
        Thumbnail.tagging_id == RetagChange.to_tagging_id
    )
    same_source = (
        RetagChange.from_label.is_(None) if source is None else RetagChange.from_label == source
    )
    best = (
        select(RetagChange, former.scalar_subquery(), overlay.scalar_subquery())
        .where(RetagChange.run_id == run_id, same_source, RetagChange.to_label == target)
        .order_by(RetagChange.confidence.desc(), RetagChange.product_id)
        .limit(examples)
    )
    return Cell(
        from_label=source,
        to_label=target,
        count=count,
        share=count / whole if whole else None,
        examples=[
            Example(
                product_id=change.product_id,
                confidence=change.confidence or 0.0,
                former_confidence=confidence,
                person_label=change.person_label,
                flagged=change.flagged,
                overlay_jpeg=jpeg,
            )
            for change, confidence, jpeg in session.execute(best)
        ],
    )


def _reviewed(session: Session, mine: Any, changed: Any) -> dict[str, int]:
    person = RetagChange.person_label
    known = (mine, changed, person.is_not(None))
    return {
        "reviewed": _count(session, *known),
        "agrees_now": _count(session, *known, RetagChange.to_label == person),
        "disagrees_now": _count(session, *known, RetagChange.from_label == person),
    }


def _count(session: Session, *conditions: Any) -> int:
    return session.scalar(select(func.count()).select_from(RetagChange).where(*conditions)) or 0


def _cell_as_json(cell: Cell) -> dict[str, Any]:
    fields = asdict(cell)
    for example in fields["examples"]:
        del example["overlay_jpeg"]
    return fields
