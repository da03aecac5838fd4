"""A taxonomy: what a shop's categories are. Standard library only, as bundles carry one.

The database stores a category's id, which never changes; names, translations, aliases and order
may. Parents are categories that no model predicts: `Tops` is said of a shirt, never instead.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from catalog.taxonomy.folding import fold

PATH_SIGN = ">"


@dataclass(frozen=True, kw_only=True)
class Category:
    """One category. order: where it is shown, lower first; key: the letter or digit that picks it.

    translations: names by language, such as de; external: ids elsewhere, such as google, shopify.
    """

    id: str
    name: str
    parent: str | None = None
    translations: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    external: Mapping[str, str] = field(default_factory=dict)
    order: int | None = None
    key: str | None = None


@dataclass(frozen=True, kw_only=True)
class Replaced:
    """Which version this one replaces, and what became of its categories.

    categories: old id: new ids. One new id: renamed or merged. Several: split, so that people are
    asked again. None: removed. An id that is not named stays what it was.
    """

    version: int
    categories: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Taxonomy:
    """Categories in the order they are shown, parents among them."""

    name: str
    version: int
    categories: tuple[Category, ...]
    replaces: Replaced | None = None

    @property
    def title(self) -> str:
        """Name and version, such as `clothing-17 1`."""
        return f"{self.name} {self.version}"

    @cached_property
    def by_id(self) -> Mapping[str, Category]:
        return {each.id: each for each in self.categories}

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The categories that a tagging or a person may name: those that are nobody's parent."""
        parents = {each.parent for each in self.categories}
        leaves = [each for each in self.categories if each.id not in parents]
        order = {each.id: place for place, each in enumerate(leaves)}
        leaves.sort(key=lambda each: (_shown(each.order), order[each.id]))
        return tuple(each.id for each in leaves)

    @cached_property
    def parents(self) -> tuple[str, ...]:
        """The categories that no model predicts."""
        return tuple(each.id for each in self.categories if each.id not in set(self.ids))

    def name_of(self, label: str, language: str | None = None) -> str:
        """What people read; a label of no category of this taxonomy is shown as it is."""
        category = self.by_id.get(label)
        if category is None:
            return label
        return category.translations.get(language or "", category.name)

    def path_of(self, label: str) -> str:
        """The name after those of its parents, such as `Tops > Shirt`."""
        above = [self.name_of(each) for each in self.ancestors(label)][::-1]
        return f" {PATH_SIGN} ".join([*above, self.name_of(label)])

    def ancestors(self, label: str) -> tuple[str, ...]:
        """The parents of a category, the nearest first."""
        return tuple(self._above(label))

    def below(self, category: str) -> tuple[str, ...]:
        """The leaves under a parent; of a leaf, itself."""
        return self._leaves_below.get(category, ())

    def find(self, text: str) -> str | None:
        """The category that a text names by id, name, alias or translation; None: none.

        `Tops > Shirt` names what its last part does.
        """
        wanted = text.strip()
        if wanted in self.by_id:
            return wanted
        found = self._terms.get(fold(wanted))
        if found is None and PATH_SIGN in wanted:
            last = wanted.rsplit(PATH_SIGN, 1)[1].strip()
            found = self.find(last) if last else None
        return found

    def agrees(self, declared: str, label: str) -> bool:
        """Whether a declared category holds of a label: the same, or one of its parents."""
        return declared == label or declared in self.ancestors(label)

    def _above(self, label: str) -> Iterator[str]:
        category = self.by_id.get(label)
        seen = {label}
        while category is not None and category.parent and category.parent not in seen:
            seen.add(category.parent)
            yield category.parent
            category = self.by_id.get(category.parent)

    @cached_property
    def _leaves_below(self) -> Mapping[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for leaf in self.ids:
            for each in (leaf, *self.ancestors(leaf)):
                found[each] = (*found.get(each, ()), leaf)
        return found

    @cached_property
    def _terms(self) -> Mapping[str, str]:
        """Folded texts and what they name; a translation gives way to everything else."""
        terms: dict[str, str] = {}
        ambiguous: set[str] = set()
        for each in self.categories:
            for text in each.translations.values():
                if terms.setdefault(fold(text), each.id) != each.id:
                    ambiguous.add(fold(text))
        for text in ambiguous:
            del terms[text]
        for each in self.categories:
            terms |= {fold(text): each.id for text in (each.name, *each.aliases)}
        for each in self.categories:
            terms[fold(each.id)] = each.id
        return terms


def _shown(order: int | None) -> tuple[bool, int]:
    return (order is None, order or 0)
