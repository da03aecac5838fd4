"""`tagger trust` and `tagger recalibrate`: what photos have earned by their reviews."""

import json
from typing import Any

import click

from catalog.settings import settings
from db.command_line import looking, writing
from worker.commands.tables import table
from worker.photo_trust import ClassTrust, Trust, assess, recalibrate
from worker.serving import serving_manifest

AS_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object.")


@click.command()
@AS_JSON
def trust(as_json: bool) -> None:
    """Show which photos are accepted without a person, on what evidence, and what is missing.

    Of the model in service. Pictures that come reduced, as Fashion-MNIST does, are under the
    bundle's own rule and do not appear here.
    """
    with looking() as session:
        found = assess(session, serving_manifest(session, settings()))
    click.echo(json.dumps(as_fields(found), indent=2) if as_json else as_text(found))


@click.command(name="recalibrate")
@click.option("--dry-run", is_flag=True, help="Show what would be decided; change nothing.")
@AS_JSON
def recalibrate_command(dry_run: bool, as_json: bool) -> None:
    """Refit acceptance and temperature of photos from the reviews of the model in service.

    A class is trusted where its reviews prove it, and nothing of it is accepted any more where
    they speak against it; all others stay under the bundle's cautious rule. Workers take it at
    their next heartbeat, without a restart.
    """
    with (looking if dry_run else writing)() as session:
        manifest = serving_manifest(session, settings())
        found = assess(session, manifest) if dry_run else recalibrate(session, manifest)
    click.echo(json.dumps(as_fields(found), indent=2) if as_json else as_text(found))
    for each in found.classes if dry_run else ():
        if each.verdict.confidence_min is not None:
            click.echo(f"would decide: {each.label} {_from(each.verdict.confidence_min)}", err=True)


def as_text(found: Trust) -> str:
    """A table, and two lines above it."""
    header = ("class", "state", "accepted from", "reviewed", "right", "errors at most", "missing")
    rows = [
        (
            each.label,
            each.state,
            _from(each.confidence_min),
            str(each.in_force.reviewed),
            str(each.in_force.right),
            f"{100 * each.in_force.error_at_most:.1f} %" if each.in_force.reviewed else "unknown",
            missing(each),
        )
        for each in found.classes
    ]
    fitted = found.fitted_temperature
    return "\n".join(
        [
            f"{found.model_version}: {found.photos:,} photos, {found.reviewed:,} of them reviewed; "
            f"temperature {found.temperature:.2f}"
            + ("" if fitted is None else f", the reviews fit {fitted:.2f}"),
            f"A class is trusted when at most {100 * (1 - found.precision):.0f} % of what is "
            f"accepted is wrong, with {100 * found.level:.0f} % certainty.",
            "",
            table([header, *rows], right=frozenset({2, 3, 4, 5})),
        ]
    )


def missing(each: ClassTrust) -> str:
    """What a class lacks to be trusted, for people."""
    wanted = each.verdict
    if wanted.confidence_min is not None and wanted.confidence_min <= 1:
        if each.state == "trusted" and each.confidence_min == wanted.confidence_min:
            return "nothing"
        return f"`tagger recalibrate` would accept {_from(wanted.confidence_min)}"
    if wanted.confidence_min is not None and each.state != "withdrawn":
        return "the reviews speak against it: run `tagger recalibrate`"
    if wanted.more_right is None:
        return "too many errors: correct more, and `tagger adapt`"
    return f"{wanted.more_right} more right reviews"


def as_fields(found: Trust) -> dict[str, Any]:
    """The same for programs."""
    return {
        "model_version": found.model_version,
        "photos": found.photos,
        "reviewed": found.reviewed,
        "temperature": found.temperature,
        "fitted_temperature": found.fitted_temperature,
        "class_precision": found.precision,
        "level": found.level,
        "classes": {
            each.label: {
                "state": each.state,
                "accepted_from": each.confidence_min if each.confidence_min <= 1 else None,
                "reviewed": each.in_force.reviewed,
                "right": each.in_force.right,
                "errors_at_most": each.in_force.error_at_most,
                "would_accept_from": each.verdict.confidence_min,
                "more_right_reviews_needed": each.verdict.more_right,
            }
            for each in found.classes
        },
    }


def _from(confidence_min: float) -> str:
    return "nothing" if confidence_min > 1 else f"{100 * confidence_min:.1f} %"
