"""`tagger taxonomy`: look at a taxonomy, check its file, compare two versions."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click

from catalog.bundle import MANIFEST, TAXONOMY, read_manifest
from catalog.cli import LazyGroup
from catalog.settings import settings
from catalog.taxonomy.changes import Change, ChangeKind, changes, drafted_replacement, touched
from catalog.taxonomy.document import to_fields
from catalog.taxonomy.files import read_taxonomy, shipped, shipped_names, to_yaml
from catalog.taxonomy.model import Taxonomy

ADOPT = ("db.taxonomies.commands", "adopt", "Put a taxonomy in force; carry decisions over.")


@click.group(cls=LazyGroup, lazy={"adopt": ADOPT})
def taxonomy() -> None:
    """Look at a taxonomy, check its file, compare two versions, put one in force."""


@taxonomy.command()
@click.argument("source", required=False)
@click.option("--language", help="Names in this language where there is a translation, such as de.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of text.")
def show(source: str | None, language: str | None, as_json: bool) -> None:
    """Show the categories of SOURCE: a file, a bundle's folder, or the name of a shipped one.

    Without SOURCE those of the bundle of TAGGER_BUNDLE.
    """
    found = read_source(source)
    if as_json:
        click.echo(json.dumps(to_fields(found), ensure_ascii=False))
        return
    parents = f", {len(found.parents)} parents" if found.parents else ""
    click.echo(f"{found.title}: {len(found.ids)} categories{parents}")
    for line in _tree(found, None, language, ""):
        click.echo(line)


@taxonomy.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def check(file: Path) -> None:
    """Say what is wrong with a taxonomy's FILE, by line; exit code 1 if anything is."""
    found = read_taxonomy(file)
    click.echo(
        f"{found.title} is sound: {len(found.ids)} categories, {len(found.parents)} parents."
    )


@taxonomy.command()
@click.argument("old")
@click.argument("new")
@click.option("--draft", is_flag=True, help="Write NEW with a drafted mapping, to look through.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of text.")
def diff(old: str, new: str, draft: bool, as_json: bool) -> None:
    """Say what changed from OLD to NEW, and what becomes of the labels.

    Each is a file, a bundle's folder, or the name of a shipped taxonomy. What became of a category
    stands under `replaces` in NEW; without that, it is drafted from names and aliases.
    """
    before, after = read_source(old), read_source(new)
    carries = after.replaces is not None and after.replaces.version == before.version
    if not carries:
        after = replace(after, replaces=drafted_replacement(before, after))
    if draft:
        click.echo(to_yaml(after), nl=False)
        return
    found = changes(before, after)
    asked = touched(before, after)
    if as_json:
        rows = [
            {"kind": each.kind.value, "before": each.before, "after": each.after} for each in found
        ]
        click.echo(json.dumps({"changes": rows, "asked_again": asked, "drafted": not carries}))
        return
    for each in found:
        click.echo(_line(each, before, after))
    if not found:
        click.echo("Nothing changed that a label could show.")
    if asked:
        click.echo(f"People are asked again about: {', '.join(asked)}.")
    if not carries and found:
        click.echo(
            "The mapping is drafted; `--draft` writes it as `replaces`, to look through.", err=True
        )


def read_source(source: str | None) -> Taxonomy:
    """The taxonomy of a file, a bundle's folder or the name of a shipped one.

    Raises:
        OperatorError: there is none.
    """
    if source is None:
        return read_manifest(settings().bundle).taxonomy
    path = Path(source)
    if source in shipped_names() and not path.is_file():
        return shipped(source)
    if (path / MANIFEST).is_file() or (path / TAXONOMY).is_file():
        return read_manifest(path).taxonomy
    return read_taxonomy(path)


def _tree(found: Taxonomy, parent: str | None, language: str | None, indent: str) -> Iterator[str]:
    """Parents before what is below them, leaves as they are shown."""
    order = {id_: place for place, id_ in enumerate(found.ids)}
    rows = [each for each in found.categories if each.parent == parent]
    rows.sort(key=lambda each: min((order[leaf] for leaf in found.below(each.id)), default=0))
    for each in rows:
        more = [*each.aliases, *(f"{name} {value}" for name, value in each.external.items())]
        told = f"  ({', '.join(more)})" if more else ""
        key = f"[{each.key}] " if each.key else ""
        yield f"{indent}{key}{found.name_of(each.id, language)}  {each.id}{told}"
        yield from _tree(found, each.id, language, indent + "    ")


def _line(change: Change, before: Taxonomy, after: Taxonomy) -> str:
    old = ", ".join(f"{before.path_of(each)} ({each})" for each in change.before)
    new = ", ".join(f"{after.path_of(each)} ({each})" for each in change.after)
    if change.kind is ChangeKind.ADDED:
        return f"{change.kind:<8}  {new}"
    if change.kind is ChangeKind.REMOVED:
        return f"{change.kind:<8}  {old}"
    return f"{change.kind:<8}  {old} → {new}"
