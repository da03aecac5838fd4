"""Machine against people as a matrix, with the categories under a parent folded into one."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from catalog.taxonomy.model import Taxonomy
from catalog.taxonomy.reserved import RESERVED

FEW = 12  # so many are all shown, whether or not anything was said of them
SHOWN_MAX = 40

Counts = Mapping[tuple[str, str], int]  # (machine, person)


@dataclass(frozen=True, kw_only=True)
class Group:
    """A row or column: one category, or several that are counted together."""

    name: str
    labels: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Fold:
    """A parent, whether its categories are shown one by one, and what is open after a click."""

    name: str
    is_open: bool
    then_open: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ConfusionCell:
    """heat: share of the row, 0-10."""

    count: int
    heat: int
    right: bool


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """The matrix: rows are what the machine said, columns what people did."""

    folds: tuple[Fold, ...]
    groups: tuple[Group, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[ConfusionCell, ...]], ...]


def confusion(
    taxonomy: Taxonomy, counts: Counts, opened: Collection[str] | None = None
) -> Confusion:
    """Fold the counts by the parents that are not opened; None opens all where they are few."""
    if opened is None:
        opened = taxonomy.parents if len(taxonomy.ids) <= FEW else ()
    said = _said(counts)
    groups = _shortened(tuple(_groups(taxonomy, said, frozenset(opened))), said)
    columns = (*groups, *(Group(name=_RESERVED[each], labels=(each,)) for each in RESERVED))
    return Confusion(
        folds=tuple(_folds(taxonomy, frozenset(opened) & frozenset(taxonomy.parents))),
        groups=groups,
        columns=tuple(each.name for each in columns),
        rows=tuple((row.name, _cells(row, columns, counts)) for row in groups),
    )


_RESERVED = {"not_in_taxonomy": "not in the taxonomy", "bad_image": "bad image"}


def _said(counts: Counts) -> Counter[str]:
    """How often each label was said, by either."""
    found: Counter[str] = Counter()
    for labels, count in counts.items():
        for label in set(labels):
            found[label] += count
    return found


def _groups(taxonomy: Taxonomy, said: Counter[str], opened: frozenset[str]) -> Iterator[Group]:
    """In the taxonomy's order; labels of other taxonomies, as older models said them, come last."""
    shown: set[str] = set()
    for label in taxonomy.ids:
        above = taxonomy.ancestors(label)[::-1]
        folded = next((each for each in above if each not in opened), None)
        if folded is not None and folded not in shown:
            shown.add(folded)
            yield Group(name=taxonomy.name_of(folded), labels=taxonomy.below(folded))
        elif folded is None and (len(taxonomy.ids) <= FEW or said[label]):
            yield Group(name=taxonomy.name_of(label), labels=(label,))
    known = {*taxonomy.ids, *RESERVED}
    yield from (Group(name=each, labels=(each,)) for each in sorted(said) if each not in known)


def _shortened(groups: tuple[Group, ...], said: Counter[str]) -> tuple[Group, ...]:
    """At most SHOWN_MAX groups: those of which least was said become one."""
    if len(groups) <= SHOWN_MAX:
        return groups
    often = sorted(groups, key=lambda group: -sum(said[each] for each in group.labels))
    kept = set(often[: SHOWN_MAX - 1])
    rest = [group for group in groups if group not in kept]
    labels = tuple(label for group in rest for label in group.labels)
    others = Group(name=f"{len(rest)} others", labels=labels)
    return (*(group for group in groups if group in kept), others)


def _cells(row: Group, columns: tuple[Group, ...], counts: Counts) -> tuple[ConfusionCell, ...]:
    numbers = [
        sum(counts.get((machine, person), 0) for machine in row.labels for person in column.labels)
        for column in columns
    ]
    whole = max(1, sum(numbers))
    return tuple(
        ConfusionCell(count=number, heat=round(10 * number / whole), right=column == row)
        for number, column in zip(numbers, columns, strict=True)
    )


def _folds(taxonomy: Taxonomy, opened: frozenset[str]) -> Iterator[Fold]:
    for parent in taxonomy.parents:
        is_open = parent in opened
        then_open = opened - {parent} if is_open else opened | {parent}
        yield Fold(
            name=taxonomy.path_of(parent),
            is_open=is_open,
            then_open=tuple(each for each in taxonomy.parents if each in then_open),
        )
