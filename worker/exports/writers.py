"""Writing rows as CSV that opens well in a spreadsheet, as JSONL, or as Parquet.

Each writer takes pages of rows and writes them to a stream of bytes.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from datetime import datetime
from typing import BinaryIO

from catalog.errors import OperatorError
from db.events.labels import LabelRow

PAGE_SIZE = 1000
COLUMNS = tuple(each.name for each in fields(LabelRow))
# What a spreadsheet takes for a formula, full-width signs included, or skips to get to one.
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
# Excel takes a file without it for one in the encoding of the country that Windows is set to.
BOM = "\ufeff"

Write = Callable[[Sequence[LabelRow]], None]


@contextmanager
def csv_writer(stream: BinaryIO, *, bom: bool = True) -> Iterator[Write]:
    """RFC 4180 in UTF-8; text that would be a formula gets an apostrophe before it."""
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
    rows = csv.writer(text)
    text.write(BOM if bom else "")
    rows.writerow(COLUMNS)

    def write(page: Sequence[LabelRow]) -> None:
        for each in page:
            rows.writerow([cell(value) for value in asdict(each).values()])

    try:
        yield write
    finally:
        text.detach()


def cell(value: object) -> object:
    """A value as a spreadsheet may have it. Numbers are ours, and stay numbers."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str) and value.startswith(FORMULA_SIGNS):
        return "'" + value
    return value


@contextmanager
def jsonl_writer(stream: BinaryIO) -> Iterator[Write]:
    """One object a line, every field in it, as it is."""

    def write(page: Sequence[LabelRow]) -> None:
        for each in page:
            fields_ = asdict(each)
            if each.updated_at is not None:
                fields_["updated_at"] = each.updated_at.isoformat()
            stream.write(json.dumps(fields_, ensure_ascii=False).encode() + b"\n")

    yield write


@contextmanager
def parquet_writer(stream: BinaryIO) -> Iterator[Write]:
    """Columns of fixed types, whatever the rows hold, so that several exports read as one table.

    Raises:
        OperatorError: the extra is not installed.
    """
    try:
        import pyarrow as arrow  # an extra
        from pyarrow import parquet
    except ModuleNotFoundError as missing:
        raise OperatorError(
            "Parquet needs the parquet extra; pyarrow is not installed. Run "
            "pip install 'catalog-tagger[parquet]', or export as csv or jsonl."
        ) from missing
    types: Mapping[str, object] = {
        "confidence": arrow.float64(),
        "taxonomy_version": arrow.int32(),
        "updated_at": arrow.timestamp("us", tz="UTC"),
    }
    schema = arrow.schema([(name, types.get(name, arrow.string())) for name in COLUMNS])
    with parquet.ParquetWriter(stream, schema, compression="zstd") as file:

        def write(page: Sequence[LabelRow]) -> None:
            rows = [asdict(each) for each in page]
            file.write_table(arrow.Table.from_pylist(rows, schema=schema))

        yield write


def write_all(write: Write, rows: Iterable[LabelRow]) -> int:
    """Write every row; how many there were."""
    count, page = 0, list[LabelRow]()
    for row in rows:
        page.append(row)
        if len(page) == PAGE_SIZE:
            write(page)
            count, page = count + len(page), []
    if page:
        write(page)
    return count + len(page)
