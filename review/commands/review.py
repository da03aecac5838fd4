"""`tagger review`: the server, and the same work from the terminal."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import click
from sqlalchemy.orm import Session

from catalog.outcomes import FlagReason
from catalog.settings import settings
from catalog.taxonomy.model import Taxonomy
from catalog.taxonomy.reserved import BAD_IMAGE, NOT_IN_TAXONOMY, RESERVED
from db.command_line import looking
from db.ledger.taxonomies import taxonomy_in_force
from db.review import listing as review_listing
from db.review import reviewers
from db.review.decisions import Decision, decide
from db.review.errors import ReviewError, UnknownItemError
from db.review.filters import CursorError, Order, QueueFilter
from db.review.leases import claim_one
from db.review.models import Action, Channel, Review, Reviewer
from db.review.statistics import Statistics, statistics
from review.commands.database import AS, writing
from review.items import item_of, record_of
from review.sentences import percent, readable
from review.statistics_api import as_json as statistics_json

JSON = click.option("--json", "as_json", is_flag=True, help="JSON instead of text.")


@click.group()
def review() -> None:
    """Review flagged items: the server, and the same work from the terminal."""


@review.command()
def serve() -> None:
    """Serve the review desk at TAGGER_REVIEW_HOST and TAGGER_REVIEW_PORT.

    Off loopback put TLS in front of it: cookies and tokens travel in the clear otherwise.
    """
    from review.serve import address, bind, is_loopback
    from review.serve import serve as run

    chosen = settings()
    listener = bind(chosen)
    click.echo(f"Review desk at {address(chosen, listener)}", err=True)
    if not is_loopback(chosen.review_host):
        click.echo("It can be reached from elsewhere: put TLS in front of it.", err=True)
    run(chosen, listener)


@review.command("list")
@click.option("--reason", type=click.Choice([each.value for each in FlagReason]))
@click.option("--label", help="A category or a parent, by id, name or alias.")
@click.option("--declared", help="What the shop declared.")
@click.option("--model", help="Model version.")
@click.option("--confidence-min", type=click.FloatRange(0, 1))
@click.option("--confidence-max", type=click.FloatRange(0, 1))
@click.option(
    "--order", type=click.Choice([each.value for each in Order]), default="least_confident"
)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@click.option("--cursor", help="Go on where --json said.")
@JSON
def list_(
    reason: str | None, label: str | None, declared: str | None, model: str | None,
    confidence_min: float | None, confidence_max: float | None, order: str, limit: int,
    cursor: str | None, as_json: bool,
) -> None:  # fmt: skip
    """List what waits for a person."""
    wanted = QueueFilter(
        reason=FlagReason(reason) if reason else None, declared_label=declared,
        model_version=model, confidence_min=confidence_min, confidence_max=confidence_max,
    )  # fmt: skip
    try:
        with looking() as session:
            if label is not None:
                wanted = replace(wanted, label=_filtered(taxonomy_in_force(session), label))
            page = review_listing.page(
                session, datetime.now(UTC), wanted=wanted, order=Order(order), cursor=cursor,
                limit=limit,
            )  # fmt: skip
            items = [item_of(entry) for entry in page.entries]
            waiting = review_listing.waiting(session, wanted=wanted)
    except CursorError as error:
        raise click.UsageError(str(error)) from error
    if as_json:
        rows = [item.model_dump(mode="json") for item in items]
        click.echo(json.dumps({"items": rows, "next_cursor": page.next_cursor, "waiting": waiting}))
        return
    for item in items:
        click.echo(
            f"{item.product_id:<36}  {item.label:<11}  {percent(item.confidence):>5}  {item.why}"
        )
    click.echo(f"{waiting} waiting", err=True)


@review.command()
@click.argument("product_id")
@JSON
def show(product_id: str, as_json: bool) -> None:
    """Show one product with everything that machine and people said of it."""
    with looking() as session:
        entry = review_listing.entry_of_product(session, product_id, datetime.now(UTC))
        if entry is None:
            raise UnknownItemError(
                f"Expected a product that waits or was reviewed, found none named {product_id!r}."
            )
        item = item_of(entry, review_listing.reviews_of(session, entry.item.tagging_id))
    if as_json:
        click.echo(item.model_dump_json())
        return
    click.echo(
        f"{item.product_id}: {item.label}, {percent(item.confidence)} ({item.model_version})"
    )
    click.echo(item.why)
    for bar in item.confidences[:3]:
        click.echo(f"  {bar.label:<11}  {percent(bar.confidence):>5}")
    for each in item.reviews:
        said = readable(each.label) if each.label else ""
        click.echo(f"  {each.decided_at:%Y-%m-%d %H:%M} UTC  {each.reviewer}: {each.action} {said}")
    click.echo(f"waits for {item.waits_for.value}")


@review.command()
@click.argument("product_ids", nargs=-1, required=True)
@AS
@JSON
def accept(product_ids: Sequence[str], name: str, as_json: bool) -> None:
    """Accept the machine's label of these products; exit code 1 if one could not be."""
    _decide_all(product_ids, None, name, as_json)


@review.command()
@click.argument("product_id")
@click.argument("label")
@AS
@JSON
def correct(product_id: str, label: str, name: str, as_json: bool) -> None:
    """Give a product another label: one of the taxonomy, not_in_taxonomy or bad_image."""
    _decide_all([product_id], label, name, as_json)


@review.command()
@JSON
def stats(as_json: bool) -> None:
    """Show queue, people, precision of what was accepted, and models."""
    with looking() as session:
        found = statistics(session, datetime.now(UTC))
    if as_json:
        click.echo(json.dumps(statistics_json(found)))
    else:
        _print(found)


def _decide_all(product_ids: Sequence[str], label: str | None, name: str, as_json: bool) -> None:
    failed = 0
    for product_id in product_ids:
        try:
            with writing() as session:
                person = reviewers.enabled(session, name)
                record = record_of(_decide(session, person, product_id, label), person.name)
        except ReviewError as error:
            failed += 1
            click.echo(f"{product_id}: {error}", err=True)
            continue
        said = record.model_dump_json() if as_json else f"{product_id}: {readable(record.label)}"
        click.echo(said)
    raise SystemExit(1 if failed else 0)


def _decide(session: Session, person: Reviewer, product_id: str, label: str | None) -> Review:
    now = datetime.now(UTC)
    entry = review_listing.entry_of_product(session, product_id, now)
    if entry is None:
        raise UnknownItemError("it does not wait for a person, and never did.")
    claim_one(session, person, entry.item.tagging_id, now)
    session.refresh(entry.item)
    said = None if label is None else _category(entry.to_judge_by, label)
    actions = {
        None: Action.ACCEPT,
        NOT_IN_TAXONOMY: Action.NOT_IN_TAXONOMY,
        BAD_IMAGE: Action.BAD_IMAGE,
    }
    return decide(
        session,
        person,
        Decision(
            tagging_id=entry.item.tagging_id,
            version=entry.item.version,
            action=actions.get(said, Action.CORRECT),
            label=said,
            key=uuid4().hex,
            channel=Channel.TERMINAL,
        ),
        now,
        second_share=settings().second_opinion_share,
    )


def _filtered(taxonomy: Taxonomy, text: str) -> str:
    """A category or a parent of them that a text names.

    Raises:
        click.UsageError: none.
    """
    return taxonomy.find(text) or _category(taxonomy, text)


def _category(taxonomy: Taxonomy, text: str) -> str:
    """The id that a text names.

    Raises:
        click.UsageError: none.
    """
    for reserved in RESERVED:
        if text.strip().casefold() == reserved:
            return reserved
    found = taxonomy.find(text)
    if found not in taxonomy.ids:
        raise click.UsageError(
            f"Expected a category of {taxonomy.title} by id, name or alias, "
            f"{' or '.join(RESERVED)}; found {text!r}. `tagger taxonomy show` lists them."
        )
    return found


def _print(found: Statistics) -> None:
    click.echo(
        f"{found.open} waiting, {found.second} of them for a second opinion; "
        f"{found.disputes} disputes"
    )
    for person in found.people:
        click.echo(
            f"  {person.name:<20}  {person.decisions} decided, {person.last_hour} in the last hour"
        )
    click.echo("Precision of what was accepted, from audit samples, with 95 % intervals")
    for label, share in found.audit.items():
        low, high = share.interval
        if share.share is not None:
            click.echo(
                f"  {label:<11}  {100 * share.share:5.1f} %  ({100 * low:.1f}-{100 * high:.1f} %, "
                f"{share.whole} samples)"
            )
    kappa = "-" if found.kappa is None else f"{found.kappa:.2f}"
    click.echo(f"Second opinions: {found.second_opinions.whole}, Cohen's kappa {kappa}")
