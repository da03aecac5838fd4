"""What a taxonomy must keep to, wherever it comes from."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from catalog.taxonomy.folding import fold
from catalog.taxonomy.model import Category, Taxonomy
from catalog.taxonomy.reserved import RESERVED

LEAVES_MIN, LEAVES_MAX = 2, 500
ID = re.compile(r"[a-z0-9._-]{1,64}")
NAME_LENGTH_MAX = 128
ALIAS_LENGTH_MAX = 64

Place = tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is wrong, where (as in the file: keys and numbers from 0), and what to do."""

    place: Place
    text: str


def problems(taxonomy: Taxonomy) -> list[Problem]:
    """Everything that is wrong with a taxonomy; empty: it may serve."""
    return [
        *_name_problems(taxonomy),
        *(each for number in range(len(taxonomy.categories)) for each in _of(taxonomy, number)),
        *_term_problems(taxonomy),
        *_size_problems(taxonomy),
        *_replaced_problems(taxonomy),
    ]


def _name_problems(taxonomy: Taxonomy) -> Iterator[Problem]:
    if not ID.fullmatch(taxonomy.name):
        yield _problem(
            ("name",), f"Expected {_ID_WORDS}, found {taxonomy.name!r}. Choose another name."
        )
    if taxonomy.version < 1:
        yield _problem(
            ("version",), f"Expected a version from 1 on, found {taxonomy.version}. Count from 1."
        )


_ID_WORDS = "1 to 64 of a-z 0-9 . _ -"


def _of(taxonomy: Taxonomy, number: int) -> Iterator[Problem]:
    """The problems of one category by itself, and of its parent."""
    category, place = taxonomy.categories[number], ("categories", number)
    if category.id in RESERVED:
        yield _problem(
            (*place, "id"),
            f"Expected another id than {' and '.join(RESERVED)}, which people say of products "
            f"without a category; found {category.id!r}. Choose another id.",
        )
    elif not ID.fullmatch(category.id):
        yield _problem(
            (*place, "id"),
            f"Expected {_ID_WORDS}, found {category.id!r}. Put what people read into `name`.",
        )
    if any(each.id == category.id for each in taxonomy.categories[:number]):
        yield _problem(
            (*place, "id"), f"Expected ids that differ, found {category.id!r} twice. Rename one."
        )
    yield from _text_problems(category, place)
    yield from _parent_problems(taxonomy, category, (*place, "parent"))
    if category.key is not None and not re.fullmatch(r"[a-z0-9]", category.key):
        yield _problem(
            (*place, "key"), f"Expected one of a-z 0-9, found {category.key!r}. Choose another key."
        )


def _text_problems(category: Category, place: Place) -> Iterator[Problem]:
    texts = [((*place, "name"), category.name, NAME_LENGTH_MAX)]
    texts += [
        ((*place, "translations", language), text, NAME_LENGTH_MAX)
        for language, text in category.translations.items()
    ]
    texts += [
        ((*place, "aliases", number), text, ALIAS_LENGTH_MAX)
        for number, text in enumerate(category.aliases)
    ]
    for where, text, length_max in texts:
        if not len(text.strip()) >= 1 or len(text) > length_max or not text.isprintable():
            yield _problem(
                where, f"Expected 1 to {length_max} printable characters, found {text[:80]!r}. "
                "Shorten it, or leave it out.",
            )  # fmt: skip


def _parent_problems(taxonomy: Taxonomy, category: Category, place: Place) -> Iterator[Problem]:
    if category.parent is None:
        return
    if category.parent not in taxonomy.by_id:
        yield _problem(
            place, f"Expected the id of a category of this taxonomy, found {category.parent!r}. "
            "Add that category, or correct the parent.",
        )  # fmt: skip
    elif _in_a_ring(taxonomy, category):
        yield _problem(
            place, f"Expected a parent above {category.id!r}, found one that is below it. "
            "Leave one of their parents out.",
        )  # fmt: skip


def _in_a_ring(taxonomy: Taxonomy, category: Category) -> bool:
    seen, parent = {category.id}, category.parent
    while parent is not None and parent in taxonomy.by_id:
        if parent in seen:
            return True
        seen.add(parent)
        parent = taxonomy.by_id[parent].parent
    return False


def _term_problems(taxonomy: Taxonomy) -> Iterator[Problem]:
    """A text that names two categories names none."""
    owners = {fold(each.id): each.id for each in taxonomy.categories}
    keys: dict[str, str] = {}
    for number, category in enumerate(taxonomy.categories):
        texts: list[tuple[Place, str]] = [(("name",), category.name)]
        texts += [(("aliases", place), text) for place, text in enumerate(category.aliases)]
        for place, text in texts:
            owner = owners.setdefault(fold(text), category.id)
            if owner != category.id:
                yield _problem(
                    ("categories", number, *place),
                    f"Expected a text that names one category, found {text!r} for {owner!r} and "
                    f"{category.id!r}. Take it from one of them.",
                )
        owner = keys.setdefault(category.key or category.id + "!", category.id)
        if owner != category.id:
            yield _problem(
                ("categories", number, "key"),
                f"Expected keys that differ, found {category.key!r} for {owner!r} and "
                f"{category.id!r}. Choose another key for one of them.",
            )


def _size_problems(taxonomy: Taxonomy) -> Iterator[Problem]:
    if not LEAVES_MIN <= len(taxonomy.ids) <= LEAVES_MAX:
        yield _problem(
            ("categories",),
            f"Expected {LEAVES_MIN} to {LEAVES_MAX} categories beside their parents, found "
            f"{len(taxonomy.ids)}. Split the taxonomy, or add to it.",
        )


def _replaced_problems(taxonomy: Taxonomy) -> Iterator[Problem]:
    replaced = taxonomy.replaces
    if replaced is None:
        return
    if not 1 <= replaced.version < taxonomy.version:
        yield _problem(
            ("replaces", "version"),
            f"Expected a version before {taxonomy.version}, found {replaced.version}. "
            "Correct one of them.",
        )
    for old, new in replaced.categories.items():
        for unknown in [each for each in new if each not in taxonomy.ids]:
            yield _problem(
                ("replaces", "categories", old),
                f"Expected ids of categories of this version that are no parents, found "
                f"{unknown!r}. Correct it, or write [] for a category that is gone.",
            )


def _problem(place: Place, text: str) -> Problem:
    return Problem(place=place, text=text)
