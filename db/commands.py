"""`tagger db`: the schema."""

import click

from catalog.settings import settings
from db import migrate
from db.command_line import database
from db.engine import make_engine
from db.ledger.mending import check_counts


@click.group()
def db() -> None:
    """Look after the database's schema."""


@db.command()
def upgrade() -> None:
    """Apply every migration the database has not seen (the same as `alembic upgrade head`)."""
    engine = make_engine(settings().database)
    migrate.upgrade(engine)
    click.echo(f"{engine.url.render_as_string()} is at revision {migrate.newest_revision()}")


@db.command()
def current() -> None:
    """Print the database's revision and the newest one; exit 1 if they differ."""
    engine = make_engine(settings().database)
    found, newest = migrate.current_revision(engine), migrate.newest_revision()
    click.echo(f"database {found or 'empty'}, newest {newest}")
    raise SystemExit(0 if found == newest else 1)


@db.command()
@click.option("--mend", is_flag=True, help="Make the kept counts true.")
def counts(mend: bool) -> None:
    """Compare the counts that are kept with counting anew; exit 1 if they differ and stay so.

    Reads every product: seconds for a million. The system may run meanwhile.
    """
    with database() as engine:
        missing = check_counts(engine, mend=mend)
    for kind, names in missing.items():
        for name, number in names.items():
            click.echo(f"{kind} {name}: {number:+d} {'added' if mend else 'missing'}")
    wrong = any(missing.values())
    click.echo("The kept counts are true." if mend or not wrong else "Run it with --mend.")
    raise SystemExit(1 if wrong and not mend else 0)
