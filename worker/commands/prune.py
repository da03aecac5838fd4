"""`tagger prune`."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

import click
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from db.command_line import database
from db.engine import sessions
from db.ledger import pruning
from db.ledger.pruning import PrunePage
from db.retag.selection import parse_days

NextPage = Callable[[Session, int, datetime], PrunePage]
Delete = Callable[[Session, Sequence[int]], int]


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """How many rows there were and how many went; bytes are those of the thumbnails."""

    looked: int
    deleted: int
    bytes: int


@click.command()
@click.option("--thumbnails", metavar="AGE", help="Of taggings that are older than this: 90d.")
@click.option("--taggings", metavar="AGE", help="Superseded taggings older than this: 365d.")
@click.option("--dry-run", is_flag=True, help="Count; delete nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def prune(thumbnails: str | None, taggings: str | None, dry_run: bool, as_json: bool) -> None:
    """Delete old thumbnails, and old taggings that are not current.

    What waits for a person, or was judged by one, is kept with its pictures. In short
    transactions: workers go on meanwhile. SQLite keeps the room for new rows (`VACUUM` gives it
    back), PostgreSQL's autovacuum does the same.
    """
    if thumbnails is None and taggings is None:
        raise click.UsageError("Say what to delete: --thumbnails AGE, --taggings AGE, or both.")
    ways = {
        "thumbnails": (thumbnails, pruning.thumbnails_page, pruning.delete_thumbnails),
        "taggings": (taggings, pruning.taggings_page, pruning.delete_taggings),
    }
    with database() as engine:
        done = {
            name: _prune(engine, next_page, delete, _before(age), dry_run)
            for name, (age, next_page, delete) in ways.items()
            if age is not None
        }
    _tell(done, dry_run, as_json)


def _before(age: str) -> datetime:
    return datetime.now(UTC) - timedelta(days=parse_days(age))


def _prune(
    engine: Engine, next_page: NextPage, delete: Delete, before: datetime, dry_run: bool
) -> Pruned:
    cursor = looked = deleted = freed = 0
    while True:
        with sessions(engine)() as session, session.begin():
            page = next_page(session, cursor, before)
            if page.tagging_ids and not dry_run:
                freed += delete(session, page.tagging_ids)
        if not page.looked:
            return Pruned(looked=looked, deleted=deleted, bytes=freed)
        cursor, looked = page.cursor, looked + page.looked
        deleted += len(page.tagging_ids)


def _tell(done: dict[str, Pruned], dry_run: bool, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({name: asdict(each) for name, each in done.items()}))
        return
    verb = "would be deleted" if dry_run else "deleted"
    for name, each in done.items():
        size = "" if dry_run else f", {each.bytes / 1e6:.1f} MB of pictures"
        click.echo(f"{each.deleted} of {each.looked} {name} {verb}{size}")
