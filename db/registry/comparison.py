"""Two models side by side on what both have seen: taggings and shadows' opinions."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, String, Subquery, and_, case, cast, exists, func, or_, select
from sqlalchemy.orm import Session

from catalog.outcomes import FlagReason
from catalog.taxonomy.reserved import BAD_IMAGE, NOT_IN_TAXONOMY
from db.ledger.models import Tagging
from db.registry.mcnemar import Paired
from db.registry.models import ShadowTagging
from db.review.models import Review, Reviewer, Role
from db.review.opinions import OpinionsNow
from db.review.standing import Opinion, effective, standing
from db.taxonomies.moves import as_called_now

BINS = 10
CHANGES_SHOWN = 10
# Why a model flags by itself; the others are drawn by lot, or speak of a model before it.
MODELS_REASONS = (
    FlagReason.LOW_CONFIDENCE,
    FlagReason.OUT_OF_TAXONOMY,
    FlagReason.DECLARED_LABEL_CONFLICT,
    FlagReason.POOR_IMAGE,
)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One item that both models have seen and whose class a person told."""

    truth: str
    first_label: str
    first_confidence: float
    second_label: str
    second_confidence: float
    audited: bool  # drawn from what was accepted, not flagged for what it looked like


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The second model against the first.

    items: pictures of products that both have seen; flagged: by the model's own rules, without
    audit samples and changed labels. changes: first label, second label, items, most first. ece:
    expected calibration error, 0-1, over the reviewed items in ten bins; None without any.
    """

    first: str
    second: str
    items: int
    agreed: int
    first_flagged: int
    second_flagged: int
    changes: Sequence[tuple[str, str, int]]
    audited: Paired
    reviewed: Paired
    first_ece: float | None
    second_ece: float | None

    @property
    def worse(self) -> bool:
        """Whether the exact test shows it, on audited or on all reviewed items."""
        return "worse" in (self.audited.verdict, self.reviewed.verdict)

    def figures(self) -> dict[str, Any]:
        """All of it for programs."""
        return {
            "first": self.first,
            "second": self.second,
            "items": self.items,
            "agreement": _share(self.agreed, self.items),
            "flag_rate": [_share(each, self.items) for each in self._flagged],
            "changes": [
                {"from": before, "to": after, "items": count}
                for before, after, count in self.changes
            ],
            "ece": [self.first_ece, self.second_ece],
            "audited": _paired_figures(self.audited),
            "reviewed": _paired_figures(self.reviewed),
            "worse": self.worse,
        }

    @property
    def _flagged(self) -> tuple[int, int]:
        return self.first_flagged, self.second_flagged


def compare(session: Session, first: str, second: str) -> Comparison:
    """Compare two model versions on the pictures that both have seen."""
    ours, theirs = (
        _words(session, version).subquery(name)
        for version, name in ((first, "ours"), (second, "theirs"))
    )
    same = and_(
        ours.c.product_id == theirs.c.product_id, ours.c.image_sha256 == theirs.c.image_sha256
    )
    pair = select(
        func.count(),
        func.coalesce(func.sum(case((ours.c.label == theirs.c.label, 1), else_=0)), 0),
        func.coalesce(func.sum(case((ours.c.flagged, 1), else_=0)), 0),
        func.coalesce(func.sum(case((theirs.c.flagged, 1), else_=0)), 0),
    ).select_from(ours.join(theirs, same))
    items, agreed, first_flagged, second_flagged = session.execute(pair).one()
    judged = list(_judged(session, ours, theirs, same))
    return Comparison(
        first=first,
        second=second,
        items=items,
        agreed=int(agreed),
        first_flagged=int(first_flagged),
        second_flagged=int(second_flagged),
        changes=_changes(session, ours, theirs, same),
        audited=_paired([each for each in judged if each.audited]),
        reviewed=_paired(judged),
        first_ece=_ece([(j.first_confidence, j.first_label == j.truth) for j in judged]),
        second_ece=_ece([(j.second_confidence, j.second_label == j.truth) for j in judged]),
    )


def _words(session: Session, version: str) -> Any:
    """What a model said of each picture of each product, as itself or as a shadow."""
    tagged = select(
        Tagging.product_id,
        Tagging.image_sha256,
        as_called_now(session, version, Tagging.label),
        Tagging.confidence,
        _flagged(Tagging.reasons).label("flagged"),
    ).where(Tagging.model_version == version)
    again = exists().where(
        Tagging.product_id == ShadowTagging.product_id,
        Tagging.image_sha256 == ShadowTagging.image_sha256,
        Tagging.model_version == version,
    )
    shadowed = select(
        ShadowTagging.product_id,
        ShadowTagging.image_sha256,
        as_called_now(session, version, ShadowTagging.label),
        ShadowTagging.confidence,
        _flagged(ShadowTagging.reasons),
    ).where(ShadowTagging.model_version == version, ~again)
    return tagged.union_all(shadowed)


def _flagged(reasons: Any) -> ColumnElement[bool]:
    text = cast(reasons, String)
    return or_(*(text.contains(f'"{reason.value}"', autoescape=True) for reason in MODELS_REASONS))


def _changes(
    session: Session, ours: Subquery, theirs: Subquery, same: ColumnElement[bool]
) -> list[tuple[str, str, int]]:
    rows = session.execute(
        select(ours.c.label, theirs.c.label, func.count())
        .select_from(ours.join(theirs, same))
        .where(ours.c.label != theirs.c.label)
        .group_by(ours.c.label, theirs.c.label)
        .order_by(func.count().desc(), ours.c.label, theirs.c.label)
        .limit(CHANGES_SHOWN)
    )
    return [(before, after, count) for before, after, count in rows]


def _judged(
    session: Session, ours: Subquery, theirs: Subquery, same: ColumnElement[bool]
) -> Iterator[Judged]:
    """Reviewed pictures; what belongs to no class, or shows none, has no right answer here."""
    rows = session.execute(
        select(Review, Reviewer.role, Tagging.reasons, ours, theirs)
        .join(Reviewer, Reviewer.id == Review.reviewer_id)
        .join(Tagging, Tagging.id == Review.tagging_id)
        .join(
            ours,
            and_(
                ours.c.product_id == Review.product_id,
                ours.c.image_sha256 == Review.image_sha256,
            ),
        )
        .join(theirs, same)
        .order_by(Review.tagging_id)
    ).all()
    # Of a picture that was judged again after another tagging, the later judgement counts.
    by_picture: dict[tuple[str, str], dict[int, list[Any]]] = defaultdict(dict)
    for row in rows:
        picture = row.Review.product_id, row.Review.image_sha256
        by_picture[picture].setdefault(row.Review.tagging_id, []).append(row)
    opinions = OpinionsNow(session)
    for taggings in by_picture.values():
        for tagging_id in sorted(taggings, reverse=True):
            truth = _truth(opinions, taggings[tagging_id])
            if truth in (NOT_IN_TAXONOMY, BAD_IMAGE):
                break
            if truth is not None:
                yield _one(taggings[tagging_id][0], truth)
                break


def _truth(opinions: OpinionsNow, rows: Sequence[Any]) -> str | None:
    roles = {row.Review.id: Role(row.role) for row in rows}
    decisions = effective([row.Review for row in rows])
    said = [
        Opinion(label=label, role=roles[review.id])
        for review, label in opinions.standing(decisions)
    ]
    return standing(said, wants_second=False).label


def _one(row: Any, truth: str) -> Judged:
    (_, _, reasons, _, _, first, first_sure, _, _, _, second, second_sure, _) = row
    return Judged(
        truth=truth,
        first_label=first,
        first_confidence=first_sure,
        second_label=second,
        second_confidence=second_sure,
        audited=list(reasons) == [FlagReason.AUDIT_SAMPLE.value],
    )


def _paired(judged: Sequence[Judged]) -> Paired:
    right = [(each.first_label == each.truth, each.second_label == each.truth) for each in judged]
    return Paired(
        items=len(right),
        first_right=sum(first for first, _ in right),
        second_right=sum(second for _, second in right),
        only_first=right.count((True, False)),
        only_second=right.count((False, True)),
    )


def _ece(outcomes: Sequence[tuple[float, bool]]) -> float | None:
    """Expected calibration error (Naeini et al. 2015): mean gap of confidence and accuracy."""
    if not outcomes:
        return None
    bins: Mapping[int, list[tuple[float, bool]]] = defaultdict(list)
    for confidence, right in outcomes:
        bins[min(int(confidence * BINS), BINS - 1)].append((confidence, right))
    gaps = (
        abs(sum(confidence for confidence, _ in each) - sum(right for _, right in each))
        for each in bins.values()
    )
    return sum(gaps) / len(outcomes)


def _paired_figures(paired: Paired) -> dict[str, Any]:
    return {
        "items": paired.items,
        "accuracy": [
            _share(each, paired.items) for each in (paired.first_right, paired.second_right)
        ],
        "only_first_right": paired.only_first,
        "only_second_right": paired.only_second,
        "p_value": paired.p_value if paired.items else None,
        "verdict": paired.verdict,
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
