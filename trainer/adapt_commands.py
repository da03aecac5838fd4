"""`tagger adapt`: TensorFlow is imported by what needs it."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from catalog.errors import OperatorError
from catalog.settings import settings
from catalog.taxonomy.model import Taxonomy
from trainer.commands import data_dir_option, unverified_option
from trainer.fashion_mnist.download import find_dataset
from trainer.tables import percent

if TYPE_CHECKING:
    from trainer.adapt import Adapted
    from trainer.corrections import Corrections
    from trainer.cross_fitting import Choice
    from trainer.photo_rule import FittedRule
    from trainer.photos.adapt import AdaptedBoth
    from trainer.photos.shop import ShopPictures
    from trainer.shop_photos import ShopPhotos

# TensorFlow greets with lines about CPU instructions; an error would still be shown.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
UNREAD_SHOWN = 20
JUDGED = {"any": "all photos", "busy": "photos on busy backgrounds"}

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
@click.option(
    "--taxonomy",
    "taxonomy_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A later version of the bundle's: categories that it adds are learned too.",
)
@click.option(
    "--learner",
    "learners",
    multiple=True,
    type=click.Choice(["head", "network"]),
    default=("head", "network"),
    show_default=True,
    help="Ways to choose from; the head alone takes seconds.",
)
@seed_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
@data_dir_option
@unverified_option
def adapt(
    corrections_file: Path,
    out: Path,
    base_folder: Path | None,
    taxonomy_file: Path | None,
    learners: tuple[str, ...],
    seed: int,
    as_json: bool,
    data_dir: Path | None,
    unverified_data: bool,
) -> None:
    """Learn from what people corrected, and write a new bundle.

    Photos teach the bundle's photo network, which may come to judge those on plain backgrounds too;
    what the 28×28 network judges teaches that one. Takes minutes. Learning is judged on corrections
    held out of it: where it is not surely better than the base, this says so and writes the base
    itself to --out.
    """
    from catalog.bundle import read_manifest
    from catalog.networks import NetworkName
    from trainer.corrections import read_corrections

    base = base_folder or settings().bundle
    manifest = read_manifest(base)
    taxonomy = (
        manifest.taxonomy if taxonomy_file is None else _later(taxonomy_file, manifest.taxonomy)
    )
    order = Order(
        corrections=read_corrections(corrections_file, taxonomy),
        base=base,
        out=out,
        taxonomy=taxonomy,
        learners=learners,
        seed=seed,
        data_dir=data_dir,
        verify=not unverified_data,
    )
    learn = _both if NetworkName.PHOTO in manifest.networks else _reduced
    fields, text = learn(order)
    click.echo(json.dumps(fields, indent=2) if as_json else text)


def _later(path: Path, served: Taxonomy) -> Taxonomy:
    from catalog.taxonomy.files import read_taxonomy

    found, wanted = read_taxonomy(path), served.version
    if found.name != served.name or wanted not in (
        found.version,
        found.replaces.version if found.replaces else None,
    ):
        raise OperatorError(
            f"Expected a version of {served.name} that replaces version {wanted} in {path}, found "
            f"{found.title}. `tagger taxonomy diff OLD NEW --draft` writes what it replaces."
        )
    return found


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be learned, from which bundle, and in which ways."""

    corrections: "Corrections"
    base: Path
    out: Path
    taxonomy: Taxonomy
    learners: tuple[str, ...]
    seed: int
    data_dir: Path | None
    verify: bool


def _reduced(order: Order) -> tuple[dict[str, Any], str]:
    """Of a bundle whose 28×28 network judges everything: fields for programs, and text."""
    from trainer.adapt import AdaptConfig, adapt
    from trainer.shop_photos import read_photos

    photos = read_photos(order.corrections.standing, settings())
    report_input(order.corrections, photos)
    config = AdaptConfig(seed=order.seed, learners=order.learners)
    data = find_dataset(order.data_dir)
    result = adapt(order.base, photos, data, order.out, config, verify=order.verify, say=_say)
    return as_fields(order.corrections, photos, result), as_text(result)


def _both(order: Order) -> tuple[dict[str, Any], str]:
    """Of a bundle with a photo network: fields for programs, and text."""
    from catalog.bundle import load_bundle
    from trainer.photos.adapt import BothConfig, adapt_both
    from trainer.photos.shop import read_pictures

    pictures = read_pictures(order.corrections.standing, load_bundle(order.base), settings())
    report_input(order.corrections, pictures)
    result = adapt_both(
        order.base,
        pictures,
        lambda: find_dataset(order.data_dir),
        order.out,
        BothConfig.of(order.learners, order.seed),
        taxonomy=order.taxonomy,
        verify=order.verify,
        say=_say,
    )
    return both_as_fields(order.corrections, pictures, result), both_as_text(result)


def _say(line: str) -> None:
    click.echo(line, err=True)


def report_input(corrections: "Corrections", photos: "ShopPhotos | ShopPictures") -> None:
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
    lines = comparisons(result.choice)
    before, after = result.fashion_mnist
    if result.choice.name == "base":
        lines.append(
            "The base stays: nothing tried is surely better than it on held-out photos. Its own "
            f"copy is in {result.folder}. Collect more corrections and try again."
        )
        return "\n".join(lines)
    assert result.rule is not None
    lines += [
        f"held-out Fashion-MNIST: {percent(before)} before, {percent(after)} after",
        *proved(result.rule),
        f"Wrote {result.model_version} to {result.folder}, by learner {result.choice.name}",
    ]
    return "\n".join(lines)


def comparisons(choice: "Choice") -> list[str]:
    """A line for each way that was tried."""
    return [
        f"{name:<8} {percent(each.accuracy)} of the held-out photos right"
        + (
            ""
            if name == "base"
            else f", {each.better} better and {each.worse} worse than the base, "
            f"by chance with probability {each.doubt:.2g}"
        )
        for name, each in choice.comparisons.items()
    ]


def proved(fitted: "FittedRule") -> list[str]:
    """What the rule for photos does on those that were held out."""
    rule = fitted.figures
    if not rule:
        return ["too few photos of categories to say anything: the bundle's own rule stays"]
    return [
        f"photos accepted: {percent(rule['accepted_coverage'])}, {rule['accepted_wrong']} of "
        f"{rule['accepted']} wrong, at least {percent(rule['accepted_precision_at_least'])} right",
        f"strangers flagged: {percent(rule['strangers_flagged'])}",
    ]


def both_as_text(result: "AdaptedBoth") -> str:
    """What came of both networks, for people."""
    lines = ["Photo network:", *comparisons(result.photos.choice)]
    if result.photos.mixture is not None:
        lines += ["on plain backgrounds, with the 28×28 network:"]
        lines += proved(result.photos.mixture.fitted)
        lines += ["on busy backgrounds:"]
    if result.photos.rule is not None:
        lines += proved(result.photos.rule)
    if result.reduced is not None and result.fashion_mnist is not None:
        before, after = result.fashion_mnist
        lines += [
            "28×28 network:",
            *comparisons(result.reduced.choice),
            f"held-out Fashion-MNIST: {percent(before)} before, {percent(after)} after",
        ]
    if not result.changed:
        lines.append(
            "The base stays: nothing tried is surely better than it on held-out photos. Its own "
            f"copy is in {result.folder}. Collect more corrections and try again."
        )
    else:
        lines.append(
            f"Wrote {result.model_version} to {result.folder}; its photo network judges "
            f"{JUDGED[result.photos.backgrounds]}"
        )
    return "\n".join(lines)


def both_as_fields(
    corrections: "Corrections", pictures: "ShopPictures", result: "AdaptedBoth"
) -> dict[str, Any]:
    """What came of both networks, for programs."""
    from trainer.photos.adapting import facts_of

    reduced = result.reduced
    return {
        "bundle": str(result.folder),
        "model_version": result.model_version,
        "chosen": result.photos.choice.name,
        "corrections": len(corrections.standing),
        "photos": len(pictures),
        "skipped": [*corrections.refused, *pictures.unread],
        **{name: value for name, value in facts_of(result.photos).items() if name != "chosen"},
        "backgrounds": result.photos.backgrounds.value,
        "reduced": None
        if reduced is None
        else {
            "chosen": reduced.choice.name,
            "held_out": {name: asdict(each) for name, each in reduced.choice.comparisons.items()},
        },
    }


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
