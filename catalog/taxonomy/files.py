"""Reading a taxonomy from a YAML file: every error names its line and its cure."""

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from catalog.taxonomy.checking import Place, Problem, problems
from catalog.taxonomy.document import TaxonomyError, of_fields, to_fields
from catalog.taxonomy.model import Taxonomy

SHIPPED = Path(__file__).parents[1] / "taxonomies"
BYTES_MAX = 4_000_000
PROBLEMS_SHOWN = 20


def _absent(value: object) -> object:
    return None if value == "" else value


class _Fields(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _CategoryFields(_Fields):
    id: str
    name: str
    parent: Annotated[str | None, BeforeValidator(_absent)] = None
    translations: dict[str, str] = Field(default_factory=dict)
    aliases: list[str] = Field(default_factory=list)
    external: dict[str, str] = Field(default_factory=dict)
    order: Annotated[int | None, BeforeValidator(_absent)] = None
    key: Annotated[str | None, BeforeValidator(_absent)] = None


class _ReplacedFields(_Fields):
    version: int
    categories: dict[str, list[str]] = Field(default_factory=dict)


class _TaxonomyFields(_Fields):
    name: str
    version: int
    categories: list[_CategoryFields]
    replaces: _ReplacedFields | None = None


def shipped_names() -> tuple[str, ...]:
    """The taxonomies that come with the product."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.yaml")))


def shipped(name: str) -> Taxonomy:
    """One of them.

    Raises:
        TaxonomyError: there is none of this name.
    """
    if name not in shipped_names():
        raise TaxonomyError(
            f"Expected one of {', '.join(shipped_names())}, or a file; found {name!r}. Correct it."
        )
    return read_taxonomy(SHIPPED / f"{name}.yaml")


def read_taxonomy(path: Path) -> Taxonomy:
    """Read and check a taxonomy's file.

    Raises:
        TaxonomyError: it cannot be read or must not serve; a line of text for each problem.
    """
    text = _text(path)
    try:
        root = yaml.compose(text, Loader=yaml.BaseLoader)
        # All scalars as texts: a category may be named `no`, `on` or 2.
        found = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - makes texts, lists and maps only
    except yaml.YAMLError as error:
        raise TaxonomyError(_syntax(path, error)) from error
    twice = _named_twice(root) if root else []
    try:
        fields = _TaxonomyFields.model_validate(found)
    except ValidationError as error:
        raise TaxonomyError(_report(path, root, [*twice, *_type_problems(error)])) from None
    taxonomy = of_fields(fields.model_dump(exclude_none=True))
    if wrong := [*twice, *problems(taxonomy)]:
        raise TaxonomyError(_report(path, root, wrong))
    return taxonomy


def to_yaml(taxonomy: Taxonomy) -> str:
    """A taxonomy's file, as `read_taxonomy` reads it."""
    fields = to_fields(taxonomy)
    return str(yaml.safe_dump(fields, sort_keys=False, allow_unicode=True))


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > BYTES_MAX:
            raise TaxonomyError(
                f"Expected a taxonomy of at most {BYTES_MAX:,} bytes, found {path} with "
                f"{path.stat().st_size:,}. Name another file."
            )
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TaxonomyError(
            f"Expected a taxonomy (YAML, UTF-8) in {path}, but: {error}. Name another file."
        ) from error


def _syntax(path: Path, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    line = f", line {mark.line + 1}" if mark is not None else ""
    what = getattr(error, "problem", None) or str(error)
    return f"{path}{line}: Expected YAML, found: {what}. Mend this line."


def _type_problems(error: ValidationError) -> list[Problem]:
    found = []
    for each in error.errors():
        place = tuple(each["loc"])
        cure = {
            "missing": "Add it.",
            "extra_forbidden": "Leave it out, or correct its spelling.",
        }.get(each["type"], f"Correct {each['input']!r:.80}.")
        name = f"{place[-1]!r}: " if place else "the whole: "
        found.append(Problem(place=place, text=f"{name}{each['msg']}. {cure}"))
    return found


def _named_twice(node: Any, place: Place = ()) -> list[Problem]:
    """YAML takes the last of two equal keys without a word."""
    found: list[Problem] = []
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                text = f"Expected {key.value!r} once, found it twice. Leave one out."
                found.append(Problem(place=(*place, key.value), text=text))
            seen.add(key.value)
            found += _named_twice(value, (*place, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            found += _named_twice(value, (*place, number))
    return found


def _report(path: Path, root: Any, wrong: list[Problem]) -> str:
    lines = sorted((_line(root, each.place), each.text) for each in wrong)
    told = [f"{path}, line {line}: {text}" for line, text in lines[:PROBLEMS_SHOWN]]
    if len(lines) > PROBLEMS_SHOWN:
        told.append(f"… and {len(lines) - PROBLEMS_SHOWN} more problems.")
    return "\n".join(told)


def _line(node: Any, place: Place) -> int:
    """The line, from 1, of the innermost node on the way to a place."""
    line = node.start_mark.line + 1 if node is not None else 1
    for step in place:
        node, key_line = _child(node, step)
        if node is None:
            break
        line = key_line
    return line


def _child(node: Any, step: str | int) -> tuple[Any, int]:
    if isinstance(node, yaml.MappingNode):
        for key, value in reversed(node.value):
            if key.value == str(step):
                return value, key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step].start_mark.line + 1
    return None, 1
