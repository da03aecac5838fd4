"""`tagger adapt`: TensorFlow is imported by what needs it."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from catalog.settings import settings
from trainer.commands import data_dir_option, unverified_option
from trainer.fashion_mnist.download import find_dataset
from trainer.tables import percent

if TYPE_CHECKING:
    from trainer.adapt import Adapted
    from trainer.corrections import Corrections
    from trainer.shop_photos import ShopPhotos

# TensorFlow greets with lines about CPU instructions; an error would still be shown.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
UNREAD_SHOWN = 20

base_option = click.option(
    "--base",
    "base_folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Bundle to start from; default: the one that serves.",
)
seed_option = click.option("--seed", type=int, default=0, show_default=True)


@click.command()
@click.option(
    "--corrections",
    "corrections_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="JSONL of image_uri and label, as `tagger export-corrections` writes it.",
)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="New bundle."
)
@base_option
@seed_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
@data_dir_option
@unverified_option
def adapt(
    corrections_file: Path,
    out: Path,
    base_folder: Path | None,
    seed: int,
    as_json: bool,
    data_dir: Path | None,
    unverified_data: bool,
) -> None:
    """Learn from what people corrected, and write a new bundle.

    Takes minutes. Learning is judged on corrections held out of it: where it is not surely better
    than the base, this says so and writes the base itself to --out.
    """
    from trainer.adapt import AdaptConfig
    from trainer.adapt import adapt as learn
    from trainer.corrections import read_corrections
    from trainer.shop_photos import read_photos

    corrections = read_corrections(corrections_file)
    photos = read_photos(corrections.standing, settings())
    report_input(corrections, photos)
    result = learn(
        base_folder or settings().bundle,
        photos,
        find_dataset(data_dir),
        out,
        AdaptConfig(seed=seed),
        verify=not unverified_data,
        say=lambda line: click.echo(line, err=True),
    )
    fields = as_fields(corrections, photos, result)
    click.echo(json.dumps(fields, indent=2) if as_json else as_text(result))


def report_input(corrections: "Corrections", photos: "ShopPhotos") -> None:
    """Say on standard error what was passed over, and why."""
    complaints = [*corrections.refused, *photos.unread]
    for complaint in complaints[:UNREAD_SHOWN]:
        click.echo(f"skipped: {complaint}", err=True)
    if len(complaints) > UNREAD_SHOWN:
        click.echo(f"skipped: {len(complaints) - UNREAD_SHOWN} more", err=True)
    strangers = int((~photos.known).sum())
    click.echo(
        f"{len(corrections.standing)} corrections stand ({corrections.replaced} replaced, "
        f"{corrections.retracted} taken back, {len(corrections.refused)} not understood); "
        f"{len(photos)} photos read, {strangers} of them not in the taxonomy",
        err=True,
    )


def as_text(result: "Adapted") -> str:
    """What came of it, for people."""
    lines = [
        f"{name:<8} {percent(each.accuracy)} of the held-out photos right"
        + (
            ""
            if name == "base"
            else f", {each.better} better and {each.worse} worse than the base, "
            f"by chance with probability {each.doubt:.2g}"
        )
        for name, each in result.choice.comparisons.items()
    ]
    before, after = result.fashion_mnist
    if result.choice.name == "base":
        lines.append(
            "The base stays: nothing tried is surely better than it on held-out photos. Its own "
            f"copy is in {result.folder}. Collect more corrections and try again."
        )
        return "\n".join(lines)
    assert result.rule is not None
    rule = result.rule.figures
    lines += [
        f"held-out Fashion-MNIST: {percent(before)} before, {percent(after)} after",
        f"photos accepted: {percent(rule['accepted_coverage'])}, {rule['accepted_wrong']} of "
        f"{rule['accepted']} wrong, at least {percent(rule['accepted_precision_at_least'])} right",
        f"strangers flagged: {percent(rule['strangers_flagged'])}",
        f"Wrote {result.model_version} to {result.folder}, by learner {result.choice.name}",
    ]
    return "\n".join(lines)


def as_fields(
    corrections: "Corrections", photos: "ShopPhotos", result: "Adapted"
) -> dict[str, Any]:
    """What came of it, for programs."""
    return {
        "bundle": str(result.folder),
        "model_version": result.model_version,
        "chosen": result.choice.name,
        "corrections": len(corrections.standing),
        "photos": len(photos),
        "skipped": [*corrections.refused, *photos.unread],
        "held_out": {name: asdict(each) for name, each in result.choice.comparisons.items()},
        "rule": dict(result.rule.figures) if result.rule else None,
        "fashion_mnist_before": result.fashion_mnist[0],
        "fashion_mnist_after": result.fashion_mnist[1],
    }
