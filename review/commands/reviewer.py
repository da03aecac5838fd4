"""`tagger reviewer`: who may review."""

import json
from datetime import UTC, datetime

import click

from catalog.settings import settings
from db.command_line import looking
from db.review import reviewers
from db.review.models import CredentialKind, Role
from review.commands.database import writing


@click.group()
def reviewer() -> None:
    """Say who may review. Secrets are shown once and stored as argon2 hashes."""


@reviewer.command()
@click.argument("name")
@click.option("--lead", is_flag=True, help="May also settle disputes and read the whole audit.")
def add(name: str, lead: bool) -> None:
    """Add a reviewer and print a token to sign in with."""
    now = datetime.now(UTC)
    with writing() as session:
        person = reviewers.add(session, name, Role.LEAD if lead else Role.REVIEWER, now)
        secret = reviewers.issue(session, person, CredentialKind.TOKEN, now)
    click.echo(f"{person.name} is a {person.role}; the token is shown only now:", err=True)
    click.echo(secret)


@reviewer.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_(as_json: bool) -> None:
    """List everybody who may or might review."""
    with looking() as session:
        for person in reviewers.everyone(session):
            if as_json:
                fields = {"name": person.name, "role": person.role}
                click.echo(json.dumps(fields | {"disabled": person.disabled_at is not None}))
            else:
                state = "disabled" if person.disabled_at else "may work"
                click.echo(f"{person.name:<32}  {person.role:<8}  {state}")


@reviewer.command()
@click.argument("name")
def disable(name: str) -> None:
    """End a reviewer's sessions and secrets at once; their decisions stay."""
    with writing() as session:
        person = reviewers.disable(session, name, datetime.now(UTC))
    click.echo(f"{person.name} is disabled.")


@reviewer.command()
@click.argument("name")
def token(name: str) -> None:
    """Print a new token; the one before, links and open sessions are void."""
    click.echo(_issue(name, CredentialKind.TOKEN))


@reviewer.command()
@click.argument("name")
def link(name: str) -> None:
    """Print a link that signs in once, within 12 hours."""
    from review.serve import public_address

    click.echo(f"{public_address(settings())}welcome/{_issue(name, CredentialKind.LINK)}")


def _issue(name: str, kind: CredentialKind) -> str:
    with writing() as session:
        return reviewers.issue(session, reviewers.enabled(session, name), kind, datetime.now(UTC))
