"""`tagger drift`."""

import json
from datetime import UTC, datetime

import click

from catalog.drift import LEVEL, told
from db.command_line import database
from db.drift.nights import Night, latest_night
from db.engine import reading
from worker.commands.tables import table


@click.command()
@click.option("--now", "at_once", is_flag=True, help="Compare yesterday now, not at night.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def drift(at_once: bool, as_json: bool) -> None:
    """Show what moved beyond chance on the last day.

    Labels, confidences, the share of flagged items and the distance of the pictures from those
    that the model saw first, by source host, against the 28 days before. The upkeep compares
    each night at TAGGER_DRIFT_AT.
    """
    with database() as engine:
        if at_once:
            # Counting wants NumPy and Celery's schedule, which showing does not.
            from worker.drift.nightly import watch

            watch(engine, datetime.now(UTC))
        with reading(engine)() as session:
            night = latest_night(session)
    if as_json:
        click.echo(json.dumps(night.as_json() if night else None))
    elif night is None:
        click.echo("No day was compared yet. `tagger drift --now` compares yesterday.")
    else:
        _print(night)


def _print(night: Night) -> None:
    click.echo(
        f"{night.day}: {night.items} items tagged by {night.model_version or 'nobody'}, "
        f"{night.comparisons} comparisons with the 28 days before; any false alarm has a "
        f"probability of at most {100 * LEVEL:g} %"
    )
    if not night.findings:
        click.echo("Nothing moved beyond chance.")
        return
    rows = [("host", "what", "items", "moved", "p", "most")]
    rows += [
        (
            each.host,
            each.measure.value,
            str(each.items),
            f"{100 * each.moved:.1f} %",
            f"{each.p_adjusted:.1g}",
            told(each.changes),
        )
        for each in night.findings
    ]
    click.echo(table(rows, right=frozenset({2, 3, 4})))
