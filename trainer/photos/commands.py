"""`tagger train photos`: a photo network for a shop's own categories."""

from pathlib import Path

import click

from catalog.bundle import load_bundle
from catalog.networks import Backgrounds
from catalog.settings import SHIPPED_BUNDLE
from trainer.photos.recipe import PhotoRecipe, with_setting


@click.command()
@click.option(
    "--photos",
    "sources",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path, exists=True),
    help="Folder of folders named by category, or a CSV or JSONL list; may be repeated.",
)
@click.option(
    "--taxonomy",
    "taxonomy_name",
    help="File, or the name of a shipped one. Default: drafted from the photos' labels.",
)
@click.option("--group-column", help="Of the lists: product or sender, never split by validation.")
@click.option(
    "--backbone",
    default="none",
    show_default=True,
    help="File of import_backbone, a bundle's photo/model.keras, a keras.applications name, none.",
)
@click.option(
    "--set", "settings", multiple=True, help="A field of the recipe: epochs=8, side_px=160."
)
@click.option(
    "--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Of Fashion-MNIST."
)
@click.option(
    "--run",
    "run_folder",
    type=click.Path(path_type=Path),
    default=Path("runs/photos"),
    show_default=True,
    help="Checkpoints and finished folds: the same command goes on from them.",
)
@click.option(
    "--bundle",
    "bundle_folder",
    required=True,
    type=click.Path(path_type=Path),
    help="Where the bundle goes.",
)
@click.option(
    "--base",
    type=click.Path(path_type=Path, exists=True),
    default=SHIPPED_BUNDLE,
    help="Bundle whose 28×28 network goes along, if its categories are the same. "
    "Default: the shipped one.",
)
@click.option(
    "--backgrounds",
    type=click.Choice([each.value for each in Backgrounds]),
    default=Backgrounds.ANY.value,
    show_default=True,
    help="Which photos it judges beside a 28×28 network: any, plain ones together with that; busy "
    "leaves plain ones to that.",
)
@click.option("--origin", default="", help="Of the photos, with their licence: for the manifest.")
def photos(
    sources: tuple[Path, ...],
    taxonomy_name: str | None,
    group_column: str | None,
    backbone: str,
    settings: tuple[str, ...],
    data_dir: Path | None,
    run_folder: Path,
    bundle_folder: Path,
    base: Path,
    origin: str,
    backgrounds: str,
) -> None:
    """Train a photo network on labelled photos and write a bundle with it.

    A label may allow several categories, `Sandal|Sneaker`, or name their parent; photos of
    not_in_taxonomy, or of no category of the taxonomy, teach what belongs to none. With garments=N
    in --set, N tinted Fashion-MNIST pictures an epoch stand beside the photos, for the categories
    of the same ids. Says first what is wrong with the photos.

    A list has the columns path (or image_uri: a URI) and label; it may have weight (above 0, at
    most 1), declared (true: nobody looked at that label) and image_sha256.
    """
    recipe = PhotoRecipe()
    for setting in settings:
        recipe = with_setting(recipe, setting)
    from trainer.photos.making import make_photo_network

    made = make_photo_network(
        sources,
        group_column=group_column,
        taxonomy_name=taxonomy_name,
        backbone_name=backbone,
        recipe=recipe,
        data_dir=data_dir,
        run_folder=run_folder,
        bundle_folder=bundle_folder,
        base=load_bundle(base),
        origin=origin,
        backgrounds=Backgrounds(backgrounds),
        say=lambda line: click.echo(line, err=True),
    )
    figures = made.rule.figures
    click.echo(f"Out of fold, {figures['photos']} photos: {figures['accuracy']:.1%} right")
    click.echo(
        f"Accepted: {figures['accepted_coverage']:.1%}; of all accepted "
        f"{figures['accepted_wrong']} of {figures['accepted']} wrong, strangers counted"
    )
    if figures["strangers"]:
        click.echo(
            f"Strangers flagged: {figures['strangers_flagged']:.1%} of {figures['strangers']}, "
            f"AUROC {figures['strangers_auroc']:.3f}"
        )
    if made.mixture is not None:
        mixture, both = made.mixture, made.mixture.rule.figures
        click.echo(
            f"Plain backgrounds, {mixture.share:.0%} the 28×28 network's word: "
            f"{mixture.right[mixture.share]:.1%} right, categories alike ({mixture.right[0]:.1%} "
            f"the photo network alone, {mixture.right[1]:.1%} the other); accepted "
            f"{both['accepted_coverage']:.1%}, {both['accepted_wrong']} of {both['accepted']} wrong"
        )
    click.echo(
        f"Serves as {made.part.exported.kind}: the network's own label on "
        f"{made.part.exported.agreement:.1%} of photos, {len(made.part.exported.model):,} bytes"
    )
    click.echo(f"Wrote {made.model_version} to {made.folder}")
