"""`tagger bench adapt`."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from catalog.settings import settings
from trainer.adapt_commands import base_option
from trainer.commands import data_dir_option, unverified_option
from trainer.fashion_mnist.download import find_dataset


@click.command(name="adapt")
@click.option(
    "--photos",
    "photo_manifest",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="CSV of path, set, label, mapping: photos that are drawn as if reviewers had seen them.",
)
@click.option("--set", "set_name", required=True, help="Of the photos' sets.")
@click.option(
    "--counts", default="0,50,100,200,500", show_default=True, help="Corrections to learn from."
)
@click.option("--seeds", default=1, show_default=True, help="Draws of each count.")
@click.option(
    "--learner",
    type=click.Choice(["head", "network"]),
    help="Learn this way without choosing or fitting a rule: a quarter of the time.",
)
@base_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@data_dir_option
@unverified_option
def bench_adapt(
    photo_manifest: Path,
    set_name: str,
    counts: str,
    seeds: int,
    learner: str | None,
    base_folder: Path | None,
    as_json: bool,
    data_dir: Path | None,
    unverified_data: bool,
) -> None:
    """The learning curve: accuracy on the photos that were not drawn as corrections."""
    from lab.learning_curve import learning_curve  # TensorFlow: not for --help

    points = learning_curve(
        base_folder or settings().bundle,
        photo_manifest,
        set_name,
        find_dataset(data_dir),
        counts=[int(count) for count in counts.split(",")],
        seeds=range(seeds),
        verify=not unverified_data,
        learner=learner,
    )
    for point in points:
        click.echo(json.dumps(asdict(point)) if as_json else point.as_text())
