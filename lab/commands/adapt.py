"""`tagger bench adapt`."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import click

from catalog.bundle import read_manifest
from catalog.networks import NetworkName
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
    "--counts",
    default="0,50,100,200,500,800",
    show_default=True,
    help="Corrections to learn from.",
)
@click.option("--seeds", default=3, show_default=True, help="Draws of each count.")
@click.option(
    "--network",
    type=click.Choice([NetworkName.REDUCED.value, NetworkName.PHOTO.value]),
    help="Which learns; default: the photo network, where the bundle has one.",
)
@click.option(
    "--learner",
    type=click.Choice(["head", "network"]),
    help="The only way: of the photo network, beside leaving it; of the 28×28 network, without "
    "choosing or fitting a rule.",
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
    network: str | None,
    learner: str | None,
    base_folder: Path | None,
    as_json: bool,
    data_dir: Path | None,
    unverified_data: bool,
) -> None:
    """The learning curve: accuracy on the photos that were not drawn as corrections."""
    base = base_folder or settings().bundle
    wanted = [int(count) for count in counts.split(",")]
    if (network or _judge(base)) == NetworkName.PHOTO:
        _photo_curve(base, photo_manifest, set_name, wanted, seeds, learner, as_json=as_json)
        return
    from lab.learning_curve import learning_curve  # TensorFlow: not for --help

    points = learning_curve(
        base,
        photo_manifest,
        set_name,
        find_dataset(data_dir),
        counts=wanted,
        seeds=range(seeds),
        verify=not unverified_data,
        learner=learner,
    )
    for point in points:
        click.echo(json.dumps(asdict(point)) if as_json else point.as_text())


def _judge(base: Path) -> NetworkName:
    networks = read_manifest(base).networks
    return NetworkName.PHOTO if NetworkName.PHOTO in networks else NetworkName.REDUCED


def _photo_curve(
    base: Path,
    photo_manifest: Path,
    set_name: str,
    counts: list[int],
    seeds: int,
    learner: str | None,
    *,
    as_json: bool,
) -> None:
    from lab.photo_curve import photo_curve, summary  # TensorFlow: not for --help
    from trainer.photos.adapting import PhotoAdaptConfig
    from trainer.photos.ways import Way

    config = PhotoAdaptConfig()
    if learner is not None:
        config = replace(config, ways=(Way(learner),))
    points = []
    for point in photo_curve(
        base, photo_manifest, set_name, counts=counts, seeds=range(seeds), config=config
    ):
        points.append(point)
        click.echo(point.as_json() if as_json else point.as_text())
    if not as_json:
        click.echo("\n".join(summary(points)))
