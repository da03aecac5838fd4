"""`tagger demo`."""

import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from catalog.bundle import MANIFEST, read_manifest
from catalog.errors import OperatorError
from catalog.jobs import Job, file_job
from catalog.photo_sample import photo_sample
from catalog.redaction import shown_uri
from catalog.sample import write_pictures
from catalog.settings import SHIPPED_BUNDLE, Settings, settings
from db.engine import make_engine
from worker.commands.tables import echo_counts, share, table
from worker.local.demo import DemoReport, run_demo, write_contact_sheet
from worker.local.review_desk import start_review_desk
from worker.local.stack import LocalStack, running
from worker.photo_folders import find_pictures, picture_job

POLL_S = 0.5


@click.command()
@click.option(
    "--photos",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Tag the pictures in this folder instead of the sample.",
)
@click.option(
    "--taxonomy",
    metavar="NAME",
    help="Tag the sample of photos of this taxonomy, with a bundle of it: clothing-17.",
)
@click.option("--stay", is_flag=True, help="Go on until Ctrl-C, with the review desk open.")
def demo(photos: Path | None, taxonomy: str | None, stay: bool) -> None:
    """Tag 600 real Fashion-MNIST test pictures, or your own photos, and show the result.

    With --taxonomy clothing-17 it tags 119 photos of clothes, and needs a bundle of that taxonomy:
    the shipped one, if there is one, or that of TAGGER_BUNDLE.

    Starts an embedded broker, a SQLite database, an ingest worker and a bulk worker in .tagger/,
    enqueues half of the pictures one by one and half in chunks, waits for the outcomes, and stops
    everything it started.
    """
    chosen = settings()
    if photos is not None and taxonomy is not None:
        raise click.UsageError("Expected --photos or --taxonomy, found both.")
    if taxonomy is not None:
        chosen = chosen.model_copy(update={"bundle": _bundle_of(taxonomy, chosen)})
        jobs, known_labels, root = _photo_sample(taxonomy)
    else:
        jobs, known_labels, root = _sample(chosen) if photos is None else _photos(photos)
    chosen = chosen.model_copy(update={"allowed_roots": (*chosen.allowed_roots, root)})
    with running(chosen) as system:
        engine = make_engine(system.settings.database)
        report = run_demo(system, engine, jobs, known_labels)
        sheet = system.settings.home / "contact-sheet.png"
        write_contact_sheet(engine, report, sheet)
        engine.dispose()
        _print(report)
        click.echo(f"\nDatabase       {shown_uri(chosen.database)}")
        click.echo(f"Contact sheet  {sheet}")
        if stay:
            _stay(system)


def _stay(system: LocalStack) -> None:
    """Keep everything running, so that the flagged items can be reviewed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    click.echo(f"Review desk    {start_review_desk(system)}")
    click.echo("Everything keeps running; Ctrl-C stops it.")
    try:
        while True:
            system.keep_alive()
            time.sleep(POLL_S)
    except KeyboardInterrupt:
        click.echo("Stopping …", err=True)


def _sample(chosen: Settings) -> tuple[list[Job], dict[str, str], Path]:
    root = chosen.home.absolute() / "photos"
    pictures = write_pictures(root)
    # Every second one, so that singles and chunks both see every class.
    pictures = pictures[::2] + pictures[1::2]
    jobs = [file_job(picture.path, picture.product_id) for picture in pictures]
    return jobs, {picture.product_id: picture.label for picture in pictures}, root


def _photo_sample(taxonomy: str) -> tuple[list[Job], dict[str, str], Path]:
    pictures = photo_sample(taxonomy)
    jobs = [
        file_job(picture.path, picture.product_id) for picture in pictures[::2] + pictures[1::2]
    ]
    return jobs, {each.product_id: each.label for each in pictures}, pictures[0].path.parent


def _bundle_of(taxonomy: str, chosen: Settings) -> Path:
    """The bundle of the settings or a shipped one, whichever is of this taxonomy.

    Raises:
        OperatorError: neither is.
    """
    photo_sample(taxonomy)
    folders = [chosen.bundle, SHIPPED_BUNDLE.with_name(taxonomy)]
    for folder in folders:
        if (folder / MANIFEST).is_file() and read_manifest(folder).taxonomy.name == taxonomy:
            return folder
    found = read_manifest(chosen.bundle).taxonomy.title
    raise OperatorError(
        f"Expected a bundle of the taxonomy {taxonomy}, found {found} "
        f"in {chosen.bundle}. Train one, `tagger train photos --taxonomy {taxonomy}`, and set "
        "TAGGER_BUNDLE to its folder."
    )


def _photos(folder: Path) -> tuple[list[Job], dict[str, str], Path]:
    root = folder.resolve()
    jobs = [picture_job(path, root) for path in find_pictures([root])]
    if not jobs:
        raise OperatorError(f"Expected pictures in {folder}, found none. Name another folder.")
    return jobs, {}, root


def _print(report: DemoReport) -> None:
    whole = len(report.results)
    _echo_status(report.by_status, whole)
    click.echo("\nLabels")
    click.echo(table(_label_rows(report), right=frozenset({1, 2, 3, 4})))
    flagged = len(report.flagged)
    title = f"Flagged for a person: {flagged} of {whole} ({share(flagged, whole)})"
    echo_counts(title, report.by_reason, whole)
    _echo_failures(report)
    _echo_accuracy(report)
    click.echo(
        f"\nSpeed          {report.items_per_second:.0f} items per second, "
        f"{whole} in {report.seconds:.1f} s, start of the workers included"
    )


def _echo_status(by_status: Mapping[str, int], whole: int) -> None:
    echo_counts(f"Products: {whole}", by_status, whole)


def _label_rows(report: DemoReport) -> Sequence[Sequence[str]]:
    rows = [("  label", "items", "flagged", "mean confidence", "right")]
    for label, count in sorted(report.by_label.items()):
        of_label = [result for result in report.results if result.label == label]
        confidence = sum(result.confidence or 0 for result in of_label) / count
        right = report.share_right(of_label)
        name = report.taxonomy.name_of(label)
        rows.append((
            f"  {name}", str(count), str(sum(bool(each.reasons) for each in of_label)),
            f"{100 * confidence:.1f} %", "-" if right is None else f"{100 * right:.1f} %",
        ))  # fmt: skip
    return rows


def _echo_failures(report: DemoReport) -> None:
    for failed in report.failures[:10]:
        click.echo(f"  {failed.product_id}: {failed.failure_code}: {failed.failure_detail}")
    if len(report.failures) > 10:
        click.echo(f"  … and {len(report.failures) - 10} more in the table failures")


def _echo_accuracy(report: DemoReport) -> None:
    accuracy = report.share_right(report.results)
    if accuracy is None:
        return
    accepted = report.share_right([each for each in report.results if not each.reasons])
    click.echo(f"\nAccuracy       {100 * accuracy:.1f} % against the known labels")
    if accepted is not None:
        click.echo(f"  of accepted  {100 * accepted:.1f} %")
