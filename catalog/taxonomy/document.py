"""A taxonomy as JSON, such as a bundle's taxonomy.json. Standard library only."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from catalog.errors import OperatorError
from catalog.taxonomy.checking import problems
from catalog.taxonomy.folding import fold
from catalog.taxonomy.model import Category, Replaced, Taxonomy

SHOWN_MAX = 5


class TaxonomyError(OperatorError):
    """A taxonomy that must not serve: says where, what was expected, what to do."""


def to_fields(taxonomy: Taxonomy) -> dict[str, Any]:
    """A taxonomy as JSON holds it; what is empty is left out."""
    fields: dict[str, Any] = {
        "name": taxonomy.name,
        "version": taxonomy.version,
        "categories": [_category_fields(each) for each in taxonomy.categories],
    }
    if taxonomy.replaces is not None:
        moved = {old: list(new) for old, new in taxonomy.replaces.categories.items()}
        fields["replaces"] = {"version": taxonomy.replaces.version, "categories": moved}
    return fields


def of_fields(fields: Mapping[str, Any]) -> Taxonomy:
    """The taxonomy that JSON holds, unchecked but for its types.

    Raises:
        TaxonomyError: a field is missing or of the wrong type.
    """
    try:
        replaces = fields.get("replaces")
        return Taxonomy(
            name=_text(fields["name"]),
            version=_number(fields["version"]),
            categories=tuple(_category(each) for each in _list(fields["categories"])),
            replaces=None if replaces is None else _replaced(replaces),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise TaxonomyError(
            f"Expected the fields of a taxonomy; wrong or missing: {error}. "
            "Make the bundle again from a file that `tagger taxonomy check` accepts."
        ) from error


def to_json(taxonomy: Taxonomy) -> str:
    """What stands in taxonomy.json."""
    return json.dumps(to_fields(taxonomy), indent=2, ensure_ascii=False) + "\n"


def of_json(text: str | bytes) -> Taxonomy:
    """Read and check what stands in taxonomy.json.

    Raises:
        TaxonomyError: it is no taxonomy, or one that must not serve.
    """
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise TaxonomyError(f"Expected JSON, found: {error}. Make the bundle again.") from error
    if not isinstance(fields, dict):
        raise TaxonomyError(f"Expected a JSON object, found {type(fields).__name__}.")
    taxonomy = of_fields(fields)
    require_sound(taxonomy)
    return taxonomy


def require_sound(taxonomy: Taxonomy) -> None:
    """Raise TaxonomyError, with the first problems, unless there are none."""
    found = problems(taxonomy)
    if found:
        told = [f"{_where(each.place)}: {each.text}" for each in found[:SHOWN_MAX]]
        more = f" ({len(found)} problems in all)" if len(found) > SHOWN_MAX else ""
        raise TaxonomyError(f"The taxonomy {taxonomy.title}: {' '.join(told)}{more}")


def drafted(labels: Sequence[str], name: str = "drafted") -> Taxonomy:
    """A taxonomy of bare labels: ids made of them, which then stay as names.

    Raises:
        TaxonomyError: no taxonomy can be made of them.
    """
    taken: set[str] = set()
    categories = []
    for label in labels:
        base = slug(label)
        number, id_ = 1, base
        while id_ in taken:
            number += 1
            id_ = f"{base[:60]}-{number}"
        taken.add(id_)
        categories.append(Category(id=id_, name=label))
    taxonomy = Taxonomy(name=name, version=1, categories=tuple(categories))
    require_sound(taxonomy)
    return taxonomy


def slug(name: str) -> str:
    """An id made of a name: `Ankle boot` becomes `ankle-boot`."""
    plain = fold(name).encode("ascii", "ignore").decode()
    made = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:64].strip("-")
    # A name in another script: its characters' numbers, so that it is the same every time.
    return made or "-".join(f"{ord(each):x}" for each in name.strip())[:64].strip("-") or "unnamed"


def _category_fields(category: Category) -> dict[str, Any]:
    fields: dict[str, Any] = {"id": category.id, "name": category.name}
    for name in ("parent", "translations", "aliases", "external", "order", "key"):
        value = getattr(category, name)
        if value not in (None, {}, ()):
            fields[name] = list(value) if isinstance(value, tuple) else value
    return fields


def _category(fields: Mapping[str, Any]) -> Category:
    order, key, parent = fields.get("order"), fields.get("key"), fields.get("parent")
    return Category(
        id=_text(fields["id"]),
        name=_text(fields["name"]),
        parent=None if parent is None else _text(parent),
        translations=_texts(fields.get("translations", {})),
        aliases=tuple(_text(each) for each in _list(fields.get("aliases", []))),
        external=_texts(fields.get("external", {})),
        order=None if order is None else _number(order),
        key=None if key is None else _text(key),
    )


def _replaced(fields: Mapping[str, Any]) -> Replaced:
    moved = fields["categories"].items()
    return Replaced(
        version=_number(fields["version"]),
        categories={_text(old): tuple(_text(each) for each in _list(new)) for old, new in moved},
    )


def _texts(found: Any) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in found.items()}


def _text(found: Any) -> str:
    if not isinstance(found, str):
        raise TypeError(f"a text, found {found!r:.80}")
    return found


def _number(found: Any) -> int:
    if not isinstance(found, int) or isinstance(found, bool):
        raise TypeError(f"a whole number, found {found!r:.80}")
    return found


def _list(found: Any) -> list[Any]:
    if not isinstance(found, list):
        raise TypeError(f"a list, found {found!r:.80}")
    return found


def _where(place: tuple[str | int, ...]) -> str:
    return ".".join(str(each) for each in place)
