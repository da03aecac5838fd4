"""Which products a re-tagging run is about, in words; db/retag/conditions.py: in SQL."""

import re
from dataclasses import asdict, dataclass
from typing import Any

from catalog.errors import OperatorError

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
