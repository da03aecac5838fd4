"""`tagger retag`: tagging again what is in the ledger."""

import getpass
import json
import time
from datetime import UTC, datetime
from pathlib import Path

import click
from sqlalchemy import Engine

from catalog.settings import settings
from db.command_line import database, looking
from db.engine import sessions
from db.retag import runs as retag_runs
from db.retag.models import RunState
from db.retag.progress import Progress
from db.retag.report import Report
from db.retag.report import report as read_report
from db.retag.selection import Selection, parse_days, parse_selection
from worker.broker import connect, redis_url
from worker.client import EnqueueClient
from worker.commands.tables import echo_counts, table
from worker.retag.dry_run import count_selected
from worker.retag.lines import line
from worker.retag.publisher import Publisher, Step
from worker.retag.report_page import render_page
from worker.retag.starting import progress_of, progress_of_newest, resume_run, start_run
from worker.retag.terminal import ProgressBar

LIVE = (RunState.PLANNED, RunState.RUNNING)
WATCH_S = 0.5
RUN = click.argument("run_id", metavar="RUN", type=click.IntRange(min=1))
AS_JSON = click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")


@click.group()
def retag() -> None:
    """Tag again what is in the ledger: runs that pause, resume and report."""


@retag.command()
@click.option("--older-model", is_flag=True, help="What the serving model has not looked at.")
@click.option("--older-than", metavar="AGE", help="What was looked at longer ago: 30d, 12h.")
@click.option(
    "--label",
    "labels",
    multiple=True,
    help="What the machine gave this label, or one below it.",
)
@click.option(
    "--changed-taxonomy", is_flag=True, help="What has a label that was split or removed since."
)
@click.option("--failed-transient", is_flag=True, help="What failed for a reason that may pass.")
@click.option("--all", "everything", is_flag=True, help="Everything.")
@click.option("--selection", metavar="TEXT", help="The same as one text: older-model,label=bag.")
@click.option("--background", is_flag=True, help="Leave the publishing to the upkeep process.")
@click.option("--dry-run", is_flag=True, help="Count what would be selected; start nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the run at the end as JSON.")
def start(
    older_model: bool,
    older_than: str | None,
    labels: tuple[str, ...],
    changed_taxonomy: bool,
    failed_transient: bool,
    everything: bool,
    selection: str | None,
    background: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Start a run and publish it until it is done.

    The first four options narrow each other down. Ctrl-C leaves the run to the upkeep process
    of `tagger up`; `tagger retag pause` stops it.
    """
    chosen = (
        parse_selection(selection)
        if selection
        else Selection(
            older_model=older_model,
            older_than_days=None if older_than is None else parse_days(older_than),
            labels=labels,
            changed_taxonomy=changed_taxonomy,
            failed_transient=failed_transient,
            everything=everything,
        )
    )
    with database() as engine:
        if dry_run:
            counted = count_selected(engine, settings(), chosen)
            click.echo(f"{counted} products would be tagged again")
            return
        run_id = start_run(engine, settings(), chosen, getpass.getuser())
        click.echo(f"Run {run_id}: {chosen.text}", err=True)
        if not background:
            _publish(engine, run_id)
        _tell(engine, run_id, as_json)


@retag.command("list")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1))
@AS_JSON
def list_(limit: int, as_json: bool) -> None:
    """List runs, the newest first."""
    with database() as engine:
        found = progress_of_newest(engine, limit)
    if as_json:
        click.echo(json.dumps([each.as_json() for each in found]))
        return
    if not found:
        click.echo("No run yet; `tagger retag start --help` shows what to select.")
        return
    click.echo(_table(found))


@retag.command()
@RUN
@AS_JSON
def show(run_id: int, as_json: bool) -> None:
    """Show one run."""
    with database() as engine:
        _tell(engine, run_id, as_json)


@retag.command()
@RUN
def pause(run_id: int) -> None:
    """Publish no more of a run, whoever publishes it; what waits in the queue is still tagged."""
    _move(run_id, RunState.PAUSED, LIVE)


@retag.command()
@RUN
@click.option("--any-change", is_flag=True, help="However many labels it changes.")
@click.option("--background", is_flag=True, help="Leave the publishing to the upkeep process.")
@click.option("--json", "as_json", is_flag=True, help="Print the run at the end as JSON.")
def resume(run_id: int, any_change: bool, background: bool, as_json: bool) -> None:
    """Go on with a run where it stands: a paused one, or one whose publisher died."""
    with database() as engine:
        if progress_of(engine, run_id).state not in LIVE:
            resume_run(engine, settings(), run_id, any_change=any_change)
        if not background:
            _publish(engine, run_id)
        _tell(engine, run_id, as_json)


@retag.command()
@RUN
def cancel(run_id: int) -> None:
    """End a run; what waits in the queue is still tagged."""
    _move(run_id, RunState.CANCELLED, (RunState.PLANNED, RunState.RUNNING, RunState.PAUSED))


@retag.command()
@RUN
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page.")
@AS_JSON
def report(run_id: int, html: Path | None, as_json: bool) -> None:
    """Say what a run changed into what, with examples."""
    with looking() as session:
        found = read_report(session, run_id, datetime.now(UTC))
    if html is not None:
        html.write_text(render_page(found), encoding="utf-8")
        click.echo(f"Wrote {html}", err=True)
    if as_json:
        click.echo(json.dumps(found.as_json()))
    elif html is None:
        _print_report(found)


def _print_report(found: Report) -> None:
    click.echo(line(found.progress))
    if found.cells:
        rows = [("before", "now", "products", "of these")] + [
            (each.from_label or "-", each.to_label, str(each.count), _share(each.share))
            for each in found.cells
        ]
        click.echo(f"\n{table(rows, right=frozenset({2, 3}))}")
    click.echo(f"\n{found.flagged} of them flagged")
    click.echo(
        f"{found.reviewed} reviewed products are seen otherwise, and keep their label: the model "
        f"now agrees with the person on {found.agrees_now}, and no longer on {found.disagrees_now}"
    )
    if found.failures:
        echo_counts("Failures", found.failures, found.progress.published)


def _share(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _publish(engine: Engine, run_id: int) -> None:
    url = redis_url(settings())
    publisher = Publisher(engine, EnqueueClient(engine, broker_url=url), connect(url), settings())
    with ProgressBar(engine, run_id) as bar:
        try:
            while publisher.drive(run_id, after_step=bar.update) is Step.STOPPED:
                if progress_of(engine, run_id).state not in LIVE:
                    return
                time.sleep(WATCH_S)  # the upkeep process has it just now
        except KeyboardInterrupt:
            click.echo(
                f"Run {run_id} goes on in the upkeep process of `tagger up`; "
                f"`tagger retag pause {run_id}` stops it.",
                err=True,
            )


def _move(run_id: int, state: RunState, allowed: tuple[RunState, ...]) -> None:
    with database() as engine:
        with sessions(engine).begin() as session:
            retag_runs.move(session, run_id, state, allowed=allowed)
        click.echo(line(progress_of(engine, run_id)))


def _tell(engine: Engine, run_id: int, as_json: bool) -> None:
    found = progress_of(engine, run_id)
    click.echo(json.dumps(found.as_json()) if as_json else line(found))


def _table(found: list[Progress]) -> str:
    rows = [("run", "selection", "state", "done", "of", "changed", "failed", "skipped", "by")]
    rows += [
        (
            str(each.run_id), each.selection, each.state.value, str(each.counts.done),
            str(each.expected), str(each.counts.changed), str(each.counts.failed),
            str(each.counts.skipped), each.requested_by,
        )
        for each in found
    ]  # fmt: skip
    return table(rows, right=frozenset({0, 3, 4, 5, 6, 7}))
