"""`tagger enqueue`."""

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TextIO

import click
from kombu.exceptions import OperationalError

from catalog.errors import OperatorError
from catalog.jobs import Job, MalformedJobError, parse_job
from catalog.settings import settings, variable
from db.command_line import database
from worker.broker import redis_url
from worker.client import EnqueueClient
from worker.photo_folders import find_pictures, picture_job

LISTS = frozenset({".csv", ".jsonl", ".ndjson"})
# So few go as single messages, whose outcome is there at once; more go in chunks on the bulk queue.
SINGLE_MAX = 16
FIELDS = ("product_id", "image_uri", "declared_label")


class MalformedLineError(Exception):
    """A line of a list that is no job."""


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="PATH...")
@click.option("--singles", is_flag=True, help="One ingest message a product, however many.")
@click.option("--chunks", is_flag=True, help="Bulk messages, however few.")
def enqueue(sources: tuple[str, ...], singles: bool, chunks: bool) -> None:
    """Hand products to the workers.

    PATH is a picture, a folder of pictures, a .csv or .jsonl list of product_id, image_uri and,
    where the shop has one, declared_label; `-` reads such a list from standard input. Up to 16
    products go one by one to the ingest queue, more go in chunks to the bulk queue.

    A malformed line is reported on standard error and skipped; the exit code is then 1.
    """
    if singles and chunks:
        raise click.UsageError("--singles and --chunks exclude each other.")
    redis_url(settings())  # a missing broker is said before anything is written
    bad: list[str] = []
    with database() as engine:
        jobs = list(_jobs(sources, bad))
        client = EnqueueClient(engine)
        send = (
            client.enqueue_singles
            if singles or (len(jobs) <= SINGLE_MAX and not chunks)
            else client.enqueue_many
        )
        try:
            accepted = send(jobs)
        except OperationalError as error:
            raise OperatorError(
                f"The products are in the ledger, but the broker does not answer: {error}. "
                "Enqueue them again when it does; nothing is tagged twice."
            ) from error
    for complaint in bad:
        click.echo(complaint, err=True)
    click.echo(f"{accepted} accepted, {len(bad)} malformed")
    raise SystemExit(1 if bad else 0)


def _jobs(sources: Iterable[str], bad: list[str]) -> Iterator[Job]:
    for source in sources:
        path = Path(source)
        if source == "-":
            yield from _listed("standard input", sys.stdin, Path.cwd(), bad)
        elif path.suffix.lower() in LISTS and path.is_file():
            with path.open(encoding="utf-8-sig", newline="", errors="backslashreplace") as stream:
                yield from _listed(source, stream, path.absolute().parent, bad)
        elif path.exists() and not _allowed(path):
            bad.append(
                f"{source}: the workers may not read there. Start them with its folder in "
                f"{variable('allowed_roots')}, and set that here too."
            )
        elif path.is_dir():
            root = path.resolve()
            yield from (picture_job(each, root) for each in find_pictures([root]))
        elif path.is_file():
            yield picture_job(path.absolute(), path.absolute().parent)
        else:
            bad.append(f"{source}: there is no such file or folder")


def _allowed(path: Path) -> bool:
    roots = settings().allowed_roots
    return any(path.resolve().is_relative_to(root.resolve()) for root in roots)


def _listed(name: str, stream: TextIO, base: Path, bad: list[str]) -> Iterator[Job]:
    """The jobs of a list; paths without a scheme are taken from the folder `base`."""
    for number, fields in _lines(stream):
        try:
            if isinstance(fields, MalformedLineError):
                raise fields
            yield parse_job(_with_absolute_path(fields, base))
        except (MalformedJobError, MalformedLineError) as error:
            bad.append(f"{name}, line {number}: {error}")


def _lines(stream: TextIO) -> Iterator[tuple[int, object]]:
    """Each line's number and fields, or what is wrong with it; JSONL is told from CSV by `{`."""
    first = stream.readline()
    lines = chain([first], stream)
    if first.lstrip().startswith("{"):
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield number, _json(line)
        return
    reader = csv.reader(lines)
    header: Sequence[str] = FIELDS
    for row in reader:
        if "product_id" in row:
            header = [cell.strip() for cell in row]
        elif row:
            named = zip(header, row, strict=False)
            yield reader.line_num, {name: cell for name, cell in named if name in FIELDS and cell}


def _json(line: str) -> object:
    try:
        return json.loads(line)
    except ValueError as error:
        return MalformedLineError(f"Expected a JSON object, found: {error}.")


def _with_absolute_path(fields: object, base: Path) -> object:
    uri = fields.get("image_uri") if isinstance(fields, dict) else None
    if not isinstance(fields, dict) or not isinstance(uri, str) or not uri or "://" in uri:
        return fields
    return fields | {"image_uri": (base / uri).absolute().as_uri()}
