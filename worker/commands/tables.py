"""Plain tables for the terminal."""

from collections.abc import Mapping, Sequence

import click


def table(rows: Sequence[Sequence[str]], *, right: frozenset[int] = frozenset()) -> str:
    """Rows in columns two spaces apart; the columns in `right` are aligned to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = (
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
    return "\n".join(lines)


def echo_counts(title: str, counts: Mapping[str, int], whole: int) -> None:
    """Print counts under a title with their share of the whole."""
    click.echo(f"\n{title}")
    if not counts:
        click.echo("  none")
        return
    rows = [(f"  {name}", str(count), share(count, whole)) for name, count in counts.items()]
    click.echo(table(rows, right=frozenset({1, 2})))


def share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"
