"""What changed from one version of a taxonomy to the next, and what becomes of its labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from catalog.taxonomy.folding import fold
from catalog.taxonomy.model import Category, Replaced, Taxonomy


class ChangeKind(StrEnum):
    """What became of a category."""

    ADDED = "added"  # no label was it before; a re-tag run may find some
    RENAMED = "renamed"  # another name or id for the same products
    MERGED = "merged"  # several became one
    SPLIT = "split"  # one became several: people are asked again
    REMOVED = "removed"  # no category any more: people are asked again
    MOVED = "moved"  # it has another parent


@dataclass(frozen=True, kw_only=True)
class Change:
    """before: old ids; after: new ids."""

    kind: ChangeKind
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


def mapped(old: Taxonomy, new: Taxonomy) -> dict[str, str | None]:
    """What each label of the old version is in the new one; None: people are asked again."""
    told: Mapping[str, Sequence[str]] = {}
    if new.replaces is not None and new.name == old.name and new.replaces.version == old.version:
        told = new.replaces.categories
    found: dict[str, str | None] = {}
    for label in old.ids:
        targets = told.get(label, (label,) if label in new.ids else ())
        found[label] = targets[0] if len(targets) == 1 else None
    return found


def touched(old: Taxonomy, new: Taxonomy) -> tuple[str, ...]:
    """The old labels whose pictures another look may label otherwise: split, or removed."""
    return tuple(label for label, target in mapped(old, new).items() if target is None)


def drafted_replacement(old: Taxonomy, new: Taxonomy) -> Replaced:
    """A mapping to look through: an old id that is gone goes where its name or an alias went.

    What is found nowhere counts as removed.
    """
    moved: dict[str, tuple[str, ...]] = {}
    for label in old.ids:
        if label in new.ids:
            continue
        category = old.by_id[label]
        texts = (label, category.name, *category.aliases, *category.translations.values())
        hits = [new.find(text) for text in texts]
        targets = [hit for hit in hits if hit is not None]
        below = new.below(targets[0]) if targets else ()
        moved[label] = below
    return Replaced(version=old.version, categories=moved)


def changes(old: Taxonomy, new: Taxonomy) -> list[Change]:
    """What changed, by the mapping that the new version carries, or else a drafted one."""
    if new.replaces is None or new.replaces.version != old.version:
        new = replace(new, replaces=drafted_replacement(old, new))
    assert new.replaces is not None
    targets = {label: new.replaces.categories.get(label, (label,)) for label in old.ids}
    targets = {label: each if label in new.replaces.categories or label in new.ids else ()
               for label, each in targets.items()}  # fmt: skip
    found: list[Change] = []
    reached: set[str] = set()
    for label, after in targets.items():
        reached |= set(after)
        if not after:
            found.append(Change(kind=ChangeKind.REMOVED, before=(label,)))
        elif len(after) > 1:
            found.append(Change(kind=ChangeKind.SPLIT, before=(label,), after=after))
    found += _one_to_one(old, new, targets)
    found += [
        Change(kind=ChangeKind.ADDED, after=(label,)) for label in new.ids if label not in reached
    ]
    return found


def _one_to_one(
    old: Taxonomy, new: Taxonomy, targets: Mapping[str, tuple[str, ...]]
) -> list[Change]:
    sources: dict[str, list[str]] = {}
    for label, after in targets.items():
        if len(after) == 1:
            sources.setdefault(after[0], []).append(label)
    found = []
    for after_label, before in sources.items():
        if len(before) > 1:
            found.append(Change(kind=ChangeKind.MERGED, before=tuple(before), after=(after_label,)))
            continue
        one, other = old.by_id[before[0]], new.by_id[after_label]
        if one.id != other.id or not _same_names(one, other):
            found.append(Change(kind=ChangeKind.RENAMED, before=(one.id,), after=(other.id,)))
        if one.parent != other.parent:
            found.append(Change(kind=ChangeKind.MOVED, before=(one.id,), after=(other.id,)))
    return found


def _same_names(one: Category, other: Category) -> bool:
    return one.name == other.name or fold(one.name) == fold(other.name)
