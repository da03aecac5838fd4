"""`tagger webhook`: where events are posted to."""

import json
from datetime import UTC, datetime

import click

from catalog.events import EventKind
from catalog.failures import FetchFailure
from catalog.fetching.limits import FetchLimits
from catalog.redaction import shown_uri
from catalog.settings import settings
from db.command_line import looking, writing
from db.webhooks import registering
from worker.commands.tables import table
from worker.webhooks.lines import as_fields, line

NUMBER = click.argument("number", type=int)


@click.group()
def webhook() -> None:
    """Post events to other systems as they happen.

    Signed as Standard Webhooks says, at least once, in the order in which they happened; the
    upkeep posts them (`tagger up` runs it).
    """


@webhook.command()
@click.argument("url")
@click.option(
    "--events", metavar="KINDS", default="",
    help=f"Only these, separated by commas: {', '.join(EventKind)}.",
)  # fmt: skip
def add(url: str, events: str) -> None:
    """Post what happens from now on to URL; prints the secret that signs it, once."""
    # The guards want an HTTP library, which listing does not.
    from catalog.fetching.posting import Poster

    kinds = _kinds(events)
    try:
        Poster(FetchLimits.of(settings()), 1.0).check(url)
    except FetchFailure as failure:
        raise click.ClickException(failure.detail) from failure
    with writing() as session:
        made = registering.add(session, url, kinds, datetime.now(UTC))
        number, secret = made.id, made.secret
    click.echo(f"Webhook {number} gets {', '.join(kinds) or 'every event'} from now on.")
    click.echo(f"Its secret, which is shown only now: {secret}")


@webhook.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
def list_(as_json: bool) -> None:
    """Show where events go, and how far each receiver has come."""
    with looking() as session:
        found = registering.standings(session)
    if as_json:
        click.echo(json.dumps([as_fields(each) for each in found]))
    elif not found:
        click.echo("No webhooks. `tagger webhook add URL` makes one.")
    else:
        rows = [("number", "address", "events", "delivered", "behind", "state")]
        rows += [
            (
                str(each.id),
                shown_uri(each.url),
                ",".join(each.kinds) or "all",
                str(each.delivered),
                str(each.behind),
                line(each),
            )
            for each in found
        ]
        click.echo(table(rows, right=frozenset({0, 3, 4})))


@webhook.command()
@NUMBER
def remove(number: int) -> None:
    """Post nothing to it any more, and forget it."""
    with writing() as session:
        registering.remove(session, number)
    click.echo(f"Webhook {number} is removed.")


@webhook.command()
@NUMBER
def pause(number: int) -> None:
    """Post nothing for now; it keeps its place."""
    with writing() as session:
        registering.pause(session, number)
    click.echo(f"Webhook {number} is paused; `tagger webhook resume {number}` goes on.")


@webhook.command()
@NUMBER
def resume(number: int) -> None:
    """Go on where it stopped, at once."""
    with writing() as session:
        registering.resume(session, number)
    click.echo(f"Webhook {number} goes on.")


@webhook.command()
@NUMBER
def rotate(number: int) -> None:
    """Make a new secret; for 24 hours the former one signs as well."""
    with writing() as session:
        secret = registering.rotate(session, number, datetime.now(UTC))
    click.echo(f"Its secret, which is shown only now: {secret}")


@webhook.command()
@NUMBER
@click.option(
    "--from", "after", type=int, required=True, metavar="CURSOR",
    help="The id of an event: everything after it comes again. 0: all that is kept.",
)  # fmt: skip
def replay(number: int, after: int) -> None:
    """Post again what happened after an event, and go on from there."""
    with writing() as session:
        registering.replay(session, number, after)
    click.echo(f"Webhook {number} gets everything after event {after} again.")


def _kinds(text: str) -> list[EventKind]:
    names = [each.strip() for each in text.split(",") if each.strip()]
    unknown = [each for each in names if each not in set(EventKind)]
    if unknown:
        raise click.UsageError(f"Expected {', '.join(EventKind)}; found {', '.join(unknown)}.")
    return [EventKind(each) for each in names]
