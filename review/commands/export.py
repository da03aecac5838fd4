"""`tagger export-corrections` and `tagger export-photos`: what the shop knows, to learn from."""

import json
import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import click

from catalog.cursor_file import read_cursor, write_cursor
from catalog.taxonomy.files import to_yaml
from db.command_line import looking
from db.ledger.taxonomies import taxonomy_in_force
from db.review.export import corrections, newest_review
from db.review.training_list import known_photos
from review.commands.database import writing


@click.command()
@click.option("--after", type=click.IntRange(min=0), default=None, help="Only later reviews.")
@click.option(
    "--cursor-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Go on after the number in this file, and write the new one at the end.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Append to this file instead of standard output.",
)
def export_corrections(after: int | None, cursor_file: Path | None, output: Path | None) -> None:
    """Write what people decided as JSONL, one image a line, for `tagger adapt`.

    Each line holds image_uri, image_sha256, label, and where they come from: reviewer, decided_at,
    model_version, review_id. A later line of the same image replaces an earlier one; a line of
    kind `retraction` takes back the line whose review_id it names. The new cursor is printed on
    standard error.
    """
    start = after if after is not None else read_cursor(cursor_file) or 0
    with writing() as session:
        end = newest_review(session)
    count = 0
    target = output.open("a", encoding="utf-8") if output else nullcontext(sys.stdout)
    with looking() as session, target as stream:
        for each in corrections(session, after=start, up_to=end):
            fields = asdict(each) | {"decided_at": each.decided_at.isoformat()}
            stream.write(json.dumps(fields) + "\n")
            count += 1
        stream.flush()
    if cursor_file is not None:
        # After the lines: a crash in between repeats lines, which changes nothing, and loses none.
        write_cursor(cursor_file, end)
    click.echo(f"{count} written; cursor {end}", err=True)


@click.command()
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write to this file instead of standard output.",
)
@click.option(
    "--taxonomy-output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write the taxonomy in force, as `tagger train photos --taxonomy` takes it.",
)
def export_photos(output: Path | None, taxonomy_output: Path | None) -> None:
    """Write every photo whose label the shop knows as JSONL, for `tagger train photos --photos`.

    What people decided wins over what senders declare. weight says how much a line counts: less
    where people differed, where nobody has looked (declared), and where a sure model disagrees.
    group is the product. Left out are bad images and products that failed.
    """
    counts = {True: 0, False: 0}
    target = output.open("w", encoding="utf-8") if output else nullcontext(sys.stdout)
    with looking() as session, target as stream:
        for each in known_photos(session):
            fields = {name: value for name, value in asdict(each).items() if value is not None}
            stream.write(json.dumps(fields, ensure_ascii=False) + "\n")
            counts[each.declared] += 1
        stream.flush()
        if taxonomy_output is not None:
            taxonomy_output.write_text(to_yaml(taxonomy_in_force(session)), encoding="utf-8")
    click.echo(f"{counts[False]} by people, {counts[True]} as declared", err=True)
