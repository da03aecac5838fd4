"""`tagger export labels`."""

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from catalog.cursor_file import read_cursor, write_cursor
from db.command_line import database
from db.engine import reading, sessions
from db.events.labels import every_label, labels_since
from db.events.numbering import PAGE_SIZE, number_new
from db.events.reading import last_number, require_kept
from worker.exports.writers import (
    Write,
    csv_writer,
    jsonl_writer,
    parquet_writer,
    write_all,
)

CSV, JSONL, PARQUET = "csv", "jsonl", "parquet"


@click.group()
def export() -> None:
    """Write what products are called, for people and other systems."""


@export.command()
@click.option(
    "--format", "format_", type=click.Choice([CSV, JSONL, PARQUET]), default=CSV, show_default=True
)
@click.option(
    "--after", type=click.IntRange(min=0), metavar="CURSOR",
    help="Only products that something happened to since; default: all.",
)  # fmt: skip
@click.option(
    "--cursor-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Go on after the number in this file, and write the new one at the end.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write this file, once it is complete, instead of standard output.",
)
@click.option("--no-bom", is_flag=True, help="CSV without the byte order mark that Excel wants.")
def labels(
    format_: str, after: int | None, cursor_file: Path | None, output: Path | None, no_bom: bool
) -> None:
    """Write a row for each product: its label in force, with names, parent and external ids.

    The new cursor is printed on standard error; it is the number of an event. With it a later
    export holds each product once that something has happened to since, as it then is. What
    happens meanwhile may come again, and is never left out.

    CSV is for spreadsheets: UTF-8 with a byte order mark, and an apostrophe before text that would
    be a formula. For programs take jsonl or parquet (an extra), which hold everything as it is.
    """
    if format_ == PARQUET and output is None:
        raise click.UsageError("Parquet is written to a file: --output FILE.")
    start = after if after is not None else read_cursor(cursor_file)
    with database() as engine:
        while True:
            with sessions(engine).begin() as session:
                if number_new(session) < PAGE_SIZE:
                    break
        with reading(engine)() as session:
            # Before the rows are read: what happens meanwhile is after it, and comes next time.
            end = last_number(session)
            if start is not None:
                require_kept(session, start)
            rows = every_label(session) if start is None else labels_since(session, start, end)
            with _target(output) as stream, _writer(format_, stream, no_bom) as write:
                count = write_all(write, rows)
    if cursor_file is not None:
        write_cursor(cursor_file, end)
    click.echo(f"{count} written; cursor {end}", err=True)


def _writer(format_: str, stream: BinaryIO, no_bom: bool) -> AbstractContextManager[Write]:
    if format_ == CSV:
        return csv_writer(stream, bom=not no_bom)
    return jsonl_writer(stream) if format_ == JSONL else parquet_writer(stream)


@contextmanager
def _target(output: Path | None) -> Iterator[BinaryIO]:
    """Standard output, or a file that appears when it is complete."""
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    aside = output.with_name(output.name + ".new")
    try:
        with aside.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(output)
    finally:
        aside.unlink(missing_ok=True)
