"""`tagger db`: the schema."""

import click

from catalog.settings import settings
from db import migrate
from db.engine import make_engine


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
