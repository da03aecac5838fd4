"""`tagger service`: which programs may send jobs and read results over HTTP."""

import json
from datetime import UTC, datetime, timedelta

import click

from db.command_line import looking, writing
from db.services import tokens
from db.services.models import Scope, Service

SCOPES = click.Choice([scope.value for scope in Scope])
EVERY_SCOPE = tuple(scope.value for scope in Scope)


@click.group()
def service() -> None:
    """Say which programs may use the HTTP API. Tokens are shown once and stored as hashes."""


@service.command()
@click.argument("name")
@click.option(
    "--scope", "scopes", type=SCOPES, multiple=True, default=EVERY_SCOPE, show_default=True,
    help="What it may do: hand in jobs, read results. May be repeated.",
)  # fmt: skip
def add(name: str, scopes: tuple[str, ...]) -> None:
    """Add a service and print its token; a revoked one is let in again."""
    now = datetime.now(UTC)
    with writing() as session:
        found = tokens.add(session, name, [Scope(each) for each in scopes], now)
        token_ = tokens.issue(session, found, now)
        click.echo(f"{_described(found)}; the token is shown only now:", err=True)
    click.echo(token_)


@service.command()
@click.argument("name")
@click.option(
    "--old-ends-in-h", default=0.0, type=click.FloatRange(min=0, max=24 * 365), show_default=True,
    help="Hours for which the tokens before stay valid, to change over without a gap.",
)  # fmt: skip
def token(name: str, old_ends_in_h: float) -> None:
    """Print a new token of a service; the ones before are void, at once or in a while."""
    now = datetime.now(UTC)
    with writing() as session:
        found = tokens.enabled(session, name)
        text = tokens.issue(session, found, now, old_end_at=now + timedelta(hours=old_ends_in_h))
    click.echo(text)


@service.command()
@click.argument("name")
@click.argument("scopes", type=SCOPES, nargs=-1, required=True)
def scopes(name: str, scopes: tuple[str, ...]) -> None:
    """Say anew what a service may do; its tokens stay."""
    with writing() as session:
        found = tokens.set_scopes(session, name, [Scope(each) for each in scopes])
        click.echo(f"{_described(found)}.")


@service.command()
@click.argument("name")
def revoke(name: str) -> None:
    """End all tokens of a service at once; what it handed in stays."""
    with writing() as session:
        found = tokens.revoke(session, name, datetime.now(UTC))
        click.echo(f"{found.name} is revoked.")


@service.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_(as_json: bool) -> None:
    """List all services, what they may do, and how many valid tokens they have."""
    now = datetime.now(UTC)
    with looking() as session:
        for found in tokens.everyone(session):
            running = tokens.running_tokens(session, found, now)
            if as_json:
                fields = {"name": found.name, "scopes": found.scopes, "tokens": running}
                click.echo(json.dumps(fields | {"revoked": found.revoked_at is not None}))
            else:
                state = "revoked" if found.revoked_at else f"tokens: {running}"
                click.echo(f"{found.name:<32}  {' '.join(found.scopes):<12}  {state}")


def _described(found: Service) -> str:
    return f"{found.name} is a service with the scope {' and '.join(found.scopes)}"
