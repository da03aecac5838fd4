"""`tagger taxonomy adopt`."""

import getpass
from datetime import UTC, datetime

import click

from catalog.taxonomy.commands import read_source
from db.command_line import writing
from db.ledger.taxonomies import taxonomy_in_force
from db.taxonomies.adopting import Adopted
from db.taxonomies.adopting import adopt as put_in_force

SILENT_SHOWN = 10


@click.command()
@click.argument("source", required=False)
def adopt(source: str | None) -> None:
    """Put the taxonomy of SOURCE in force: a file, a bundle's folder, or a shipped one's name.

    Without SOURCE that of the bundle of TAGGER_BUNDLE. What people decided is carried over by the
    mapping under `replaces`; where no new category is clear they are asked again. Taggings stay
    what they are; `tagger retag start --changed-taxonomy` looks again at those it touches.
    """
    taxonomy = read_source(source)
    with writing() as session:
        before = taxonomy_in_force(session)
        done = put_in_force(session, taxonomy, by=getpass.getuser(), now=datetime.now(UTC))
    click.echo(f"{taxonomy.title} is in force instead of {before.title}.")
    for line in told(done):
        click.echo(line)


def told(done: Adopted) -> list[str]:
    """What an adoption did, for people."""
    lines = [f"Labels that people gave: {done.changed} changed, {done.asked_again} asked again."]
    if done.machine_open:
        lines.append(
            f"Products without a label until `tagger retag start --changed-taxonomy`, with a model "
            f"of this taxonomy: {done.machine_open}."
        )
    if done.silent:
        most = [f"{label!r} ({count})" for label, count in done.silent.items()][:SILENT_SHOWN]
        more = ", …" if len(done.silent) > SILENT_SHOWN else ""
        lines.append(
            f"Declared labels that name no category any more, and conflict with whatever a model "
            f"says until an alias names them: {', '.join(most)}{more}."
        )
    return lines
