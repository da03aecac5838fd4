"""The fault table for people, and one JSON object a line for programs."""

import json
from collections.abc import Iterable
from dataclasses import asdict

import click

from lab.faults.suite import Line

HEAD = ("fault", "database", "in", "tagged", "failed", "lost", "doubled", "recovered")
WIDTHS = (40, 11, 6, 7, 7, 5, 8, 10)


def print_table(lines: Iterable[Line], *, as_json: bool) -> bool:
    """Print each line as it comes; True when everything was survived."""
    if not as_json:
        click.echo(_row(HEAD))
    items, survived = 0, True
    for line in lines:
        items += line.tally.items
        survived = survived and line.survived
        click.echo(json.dumps(asdict(line)) if as_json else _text(line))
    if not as_json:
        verdict = "nothing lost, nothing doubled" if survived else "NOT everything was survived"
        click.echo(f"\n{items} items: {verdict}")
    return survived


def _text(line: Line) -> str:
    tally = line.tally
    counts = (tally.items, tally.tagged, tally.failed, tally.lost, tally.doubled)
    cells = (line.case, line.database, *map(str, counts), f"{line.recovered_s:.1f} s")
    bad = "" if line.survived else f"  WRONG: {line.wrong}" if line.wrong else "  WRONG"
    return f"{_row(cells)}  {line.note}{bad}".rstrip()


def _row(cells: Iterable[str]) -> str:
    texts = [
        cell.ljust(width) if column < 2 else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, WIDTHS, strict=True))
    ]
    return " ".join(texts)
