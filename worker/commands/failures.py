"""`tagger failures`: the dead letters."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import click
from kombu.exceptions import OperationalError
from sqlalchemy import Engine

from catalog.errors import OperatorError
from catalog.failures import FailureCode
from db.command_line import database, looking
from db.engine import reading, sessions
from db.ledger import dead_letters
from db.ledger.accepting import replay as replay_jobs
from db.ledger.dead_letters import DeadLetter
from worker.client import EnqueueClient
from worker.commands.tables import table
from worker.door.evidence import printable

REASONS = click.Choice([code.value for code in FailureCode])
# Products in one transaction and one bulk message, which may hold no more.
REPLAY_SIZE = 256


@click.group()
def failures() -> None:
    """Look after what could not be tagged: the dead letters."""


@failures.command("list")
@click.option("--reason", type=REASONS, help="Only those with this reason code.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(min=1))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_(reason: str | None, limit: int, as_json: bool) -> None:
    """List dead letters, the newest first."""
    with looking() as session:
        found = list(dead_letters.letters(session, reason=reason, limit=limit))
        whole = dead_letters.count(session, reason=reason)
    if as_json:
        for letter in found:
            click.echo(_json(letter))
        return
    rows = [("subject", "reason", "attempts", "when", "detail")] + [
        (each.subject, each.reason_code, str(each.attempts), _when(each), _short(each.detail))
        for each in found
    ]
    click.echo(table(rows, right=frozenset({2})))
    click.echo(f"{len(found)} of {whole}; `tagger failures show SUBJECT` says more", err=True)


@failures.command()
@click.argument("subject")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def show(subject: str, as_json: bool) -> None:
    """Show one dead letter and what its reason means."""
    with looking() as session:
        (letter,) = _named(list(dead_letters.letters(session, subjects=[subject])), [subject])
    if as_json:
        click.echo(_json(letter))
        return
    code = FailureCode(letter.reason_code)  # type: ignore[call-arg]
    passing = "passing, retried before it became final" if code.transient else "permanent"
    for name, value in (
        ("Subject", letter.subject),
        ("Image", letter.image_uri or "-"),
        ("Reason", f"{code.value}: {code.meaning} ({passing})"),
        ("Detail", letter.detail),
        ("Attempts", str(letter.attempts)),
        ("Failed at", _when(letter)),
        ("Payload", letter.payload or "-"),
    ):
        # What a sender wrote must not reach the terminal as control characters.
        click.echo(f"{name:<10} {printable(value)}")


@failures.command()
@click.argument("subjects", nargs=-1)
@click.option("--reason", type=REASONS, help="All with this reason code.")
def replay(subjects: tuple[str, ...], reason: str | None) -> None:
    """Accept failed products again, with all their attempts.

    Name SUBJECTS, or a reason for all that have it. What was quarantined runs alone again. A
    message that was no job cannot be replayed.
    """
    accepted = 0
    with database() as engine:
        client = EnqueueClient(engine)
        found = _chosen(engine, subjects, reason)
        for start in range(0, len(found), REPLAY_SIZE):
            accepted += _accept_again(engine, client, found[start : start + REPLAY_SIZE])
    click.echo(f"{accepted} accepted again, {len(found) - accepted} were no products")


@failures.command()
@click.argument("subjects", nargs=-1)
@click.option("--reason", type=REASONS, help="All with this reason code.")
def forget(subjects: tuple[str, ...], reason: str | None) -> None:
    """Delete dead letters; their products stay failed until they are enqueued again."""
    with database() as engine:
        found = _chosen(engine, subjects, reason)
        with sessions(engine).begin() as session:
            for start in range(0, len(found), REPLAY_SIZE):
                dead_letters.forget(session, found[start : start + REPLAY_SIZE])
    click.echo(f"{len(found)} forgotten")


def _accept_again(engine: Engine, client: EnqueueClient, some: Sequence[DeadLetter]) -> int:
    with sessions(engine).begin() as session:
        jobs = dead_letters.jobs_to_replay(session, some)
        ids = replay_jobs(session, jobs, dead_letters.quarantined(some), datetime.now(UTC))
    try:
        client.publish(jobs, ids)
    except OperationalError as error:
        raise OperatorError(
            f"The products are queued in the ledger, but the broker does not answer: {error}. "
            "The reconciler publishes them when it does."
        ) from error
    return len(jobs)


def _chosen(engine: Engine, subjects: Sequence[str], reason: str | None) -> list[DeadLetter]:
    if bool(subjects) == bool(reason):
        raise click.UsageError("Name subjects, or give --reason.")
    with reading(engine)() as session:
        found = list(dead_letters.letters(session, reason=reason, subjects=subjects))
    return _named(found, subjects)


def _named(found: list[DeadLetter], subjects: Sequence[str]) -> list[DeadLetter]:
    missing = set(subjects) - {letter.subject for letter in found}
    if missing:
        raise OperatorError(
            f"Expected dead letters, found none of {', '.join(sorted(missing))}. "
            "`tagger failures list` shows what there is."
        )
    return found


def _json(letter: DeadLetter) -> str:
    return json.dumps(asdict(letter) | {"failed_at": letter.failed_at.isoformat()})


def _when(letter: DeadLetter) -> str:
    return letter.failed_at.isoformat(timespec="seconds")


def _short(text: str) -> str:
    return printable(text if len(text) <= 60 else text[:59] + "…")
