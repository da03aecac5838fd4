"""Which products a re-tagging run is about."""

import re
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, select

from catalog.errors import OperatorError
from catalog.failures import FailureCode
from catalog.status import ProductStatus
from db.ledger.models import FailureRow, Model, Product, Tagging
from db.taxonomies.models import MovedLabel

TRANSIENT = tuple(code.value for code in FailureCode if code.transient)
LABELLED = (ProductStatus.TAGGED, ProductStatus.NEEDS_REVIEW, ProductStatus.REVIEWED)
_TEXT = (
    "older-model, older-than=30d, label=NAME, changed-taxonomy (these combine), failed-transient "
    "or all"
)


class SelectionError(OperatorError):
    """What was asked for selects nothing, or contradicts itself."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The first four narrow each other down; each of the last two stands alone.

    older_model: the model that looked last is not the one that serves. older_than_days: it looked
    longer ago than this. labels: the machine's label is one of these.
    changed_taxonomy: its category was split or removed since. failed_transient: failed for
    a reason that may have passed. everything: all but what is on its way already.
    """

    older_model: bool = False
    older_than_days: float | None = None
    labels: tuple[str, ...] = ()
    changed_taxonomy: bool = False
    failed_transient: bool = False
    everything: bool = False

    def __post_init__(self) -> None:
        narrowing = self.older_model or self.older_than_days is not None or bool(self.labels)
        narrowing = narrowing or self.changed_taxonomy
        if sum((narrowing, self.failed_transient, self.everything)) != 1:
            raise SelectionError(f"Expected a selection: {_TEXT}; found {self.text or 'none'}.")
        if self.older_than_days is not None and not 0 <= self.older_than_days < 36_500:
            raise SelectionError(
                f"Expected an age of 0 to 36500 days, found {self.older_than_days:g}. Correct it."
            )
        if len(self.key) > 255:
            raise SelectionError("Expected a shorter list of labels. Start several runs.")

    @property
    def text(self) -> str:
        """As `parse_selection` reads it."""
        age = self.older_than_days
        parts = [
            *(["older-model"] if self.older_model else []),
            *([] if age is None else [f"older-than={age:g}d"]),
            *(f"label={label}" for label in sorted(set(self.labels))),
            *(["changed-taxonomy"] if self.changed_taxonomy else []),
            *(["failed-transient"] if self.failed_transient else []),
            *(["all"] if self.everything else []),
        ]
        return ",".join(parts)

    @property
    def key(self) -> str:
        """Equal for selections of the same products."""
        return self.text

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"labels": sorted(set(self.labels))}

    @classmethod
    def of_json(cls, fields: dict[str, Any]) -> "Selection":
        return cls(**fields | {"labels": tuple(fields["labels"])})


def parse_selection(text: str) -> Selection:
    """Read a selection such as `older-model,label=shirt` or `older-than=30d`.

    Raises:
        SelectionError: it is none.
    """
    fields: dict[str, Any] = {}
    labels: list[str] = []
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, _, value = part.partition("=")
        if name == "label" and value:
            labels.append(value)
        elif name == "older-than" and value:
            fields["older_than_days"] = parse_days(value)
        elif part in ("older-model", "changed-taxonomy", "failed-transient", "all"):
            fields["everything" if part == "all" else part.replace("-", "_")] = True
        else:
            raise SelectionError(f"Expected a selection: {_TEXT}; found {part!r}. Correct it.")
    return Selection(labels=tuple(labels), **fields)


def parse_days(text: str) -> float:
    """Days in `30d`, `12h` or `30`.

    Raises:
        SelectionError: it is no age.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([dh]?)", text.strip())
    if found is None:
        raise SelectionError(f"Expected an age such as 30d or 12h, found {text!r}. Correct it.")
    return float(found[1]) / (24 if found[2] == "h" else 1)


def unindexed(column: Any) -> ColumnElement[Any]:
    """A column for conditions that are to be checked row by row in a range of the key.

    SQLite takes every `=`, `IN` and `IS NULL` on an indexed column for a rare one, unless ANALYZE
    has told otherwise, and would visit the index's every row for each page.
    """
    return func.coalesce(column, None)


def condition(selection: Selection, *, model_version: str, as_of: datetime) -> ColumnElement[bool]:
    """Whether a product belongs to a run that began as_of, when model_version served.

    What is on its way already is left alone, and what was accepted since: the run would chase it.
    """
    status = unindexed(Product.status)
    settled = [
        Product.created_at <= as_of,
        func.coalesce(Product.published_at, Product.next_attempt_at).is_(None),
    ]
    if selection.everything:
        return and_(*settled, status.in_([*LABELLED, ProductStatus.FAILED]))
    if selection.failed_transient:
        # Scalar subqueries are answered row by row from the key; EXISTS may become a join that
        # reads the whole other table for every page.
        reason = select(FailureRow.reason_code).where(FailureRow.subject == Product.id)
        failed = status == ProductStatus.FAILED
        return and_(*settled, failed, reason.scalar_subquery().in_(TRANSIENT))
    chosen = [*settled, status.in_(LABELLED)]
    if selection.older_model:
        chosen.append(Product.last_model_version.is_distinct_from(model_version))
    if selection.older_than_days is not None:
        before = as_of - timedelta(days=selection.older_than_days)
        chosen.append(Product.last_tagged_at < before)
    if selection.labels:
        label = select(Tagging.label).where(Tagging.id == Product.current_tagging_id)
        chosen.append(label.scalar_subquery().in_(selection.labels))
    if selection.changed_taxonomy:
        chosen.append(_touched().scalar_subquery() > 0)
    return and_(*chosen)


def _touched() -> Select[int]:
    """1 where the category of a product's current tagging was split or removed, else 0."""
    return (
        select(func.count())
        .select_from(Tagging)
        .join(Model, Model.version == Tagging.model_version)
        .join(
            MovedLabel,
            (MovedLabel.taxonomy_name == Model.taxonomy_name)
            & (MovedLabel.taxonomy_version == Model.taxonomy_version)
            & (MovedLabel.label == Tagging.label),
        )
        .where(Tagging.id == Product.current_tagging_id, MovedLabel.in_force.is_(None))
    )
