"""`tagger train photos`: a photo network for a shop's own categories."""

from pathlib import Path

import click

from catalog.bundle import load_bundle
from catalog.networks import Backgrounds, NetworkName
from catalog.settings import SHIPPED_BUNDLE
from trainer.photos.lists import LedgerList
from trainer.photos.recipe import PhotoRecipe, with_setting


@click.command()
@click.option(
    "--photos",
    "sources",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="Folder of folders named by category, or a CSV or JSONL list; may be repeated.",
)
@click.option(
    "--from-ledger",
    is_flag=True,
    help="Learn from what the shop knows: reviewers' decisions, and labels that senders declared.",
)
@click.option(
    "--taxonomy",
    "taxonomy_name",
    help="File, or the name of a shipped one. Default: with --from-ledger the one in force, if it "
    "knows most photos' labels; else drafted from these.",
)
@click.option("--group-column", help="Of the lists: product or sender, never split by validation.")
@click.option(
    "--backbone",
    default="none",
    show_default=True,
    help="File of import_backbone, a bundle's photo/model.keras, a keras.applications name, none.",
)
@click.option(
    "--set", "settings", multiple=True, help="A field of the recipe: epochs=8, side_px=128."
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
    "--helper",
    type=click.Path(path_type=Path, exists=True),
    help="Bundle whose 28×28 network helps with photos on plain backgrounds. Default: the one that "
    "goes along.",
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
@click.pass_context
def photos(
    context: click.Context,
    sources: tuple[Path, ...],
    from_ledger: bool,
    taxonomy_name: str | None,
    group_column: str | None,
    backbone: str,
    settings: tuple[str, ...],
    data_dir: Path | None,
    run_folder: Path,
    bundle_folder: Path,
    base: Path,
    helper: Path | None,
    origin: str,
    backgrounds: str,
) -> None:
    """Train a photo network on labelled photos and write a bundle with it.

    A label may allow several categories, `Sandal|Sneaker`, or name their parent; photos of
    not_in_taxonomy, or of no category of the taxonomy, teach what belongs to none. With garments=N
    in --set, N tinted Fashion-MNIST pictures an epoch stand beside the photos, for the categories
    of the same ids. Says first what is wrong with the photos.

    A list has the columns path (or image_uri: a URI) and label; it may have weight (above 0, at
    most 1), declared (true: nobody looked at that label) and image_sha256. --from-ledger makes one
    with `tagger export-photos` in the folder of --run, once; it counts declared labels less where a
    sure model disagrees or they look wrong, and people's words over all of them.
    """
    recipe = PhotoRecipe()
    for setting in settings:
        recipe = with_setting(recipe, setting)
    if not sources and not from_ledger:
        raise click.UsageError("Expected --photos, --from-ledger or both, found neither.")
    ledger = _ledger_list(context, run_folder) if from_ledger else None
    from trainer.photos.making import make_photo_network

    made = make_photo_network(
        sources,
        ledger=ledger,
        group_column=group_column,
        taxonomy_name=taxonomy_name,
        backbone_name=backbone,
        recipe=recipe,
        data_dir=data_dir,
        run_folder=run_folder,
        bundle_folder=bundle_folder,
        base=load_bundle(base),
        helper=None if helper is None else load_bundle(helper).part(NetworkName.REDUCED),
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
            f"Plain backgrounds, {mixture.share:.0%} a 28×28 network's word: "
            f"{mixture.right[mixture.share]:.1%} right, categories alike ({mixture.right[0]:.1%} "
            f"the photo network alone, {mixture.right[1]:.1%} the other); accepted "
            f"{both['accepted_coverage']:.1%}, {both['accepted_wrong']} of {both['accepted']} wrong"
        )
    click.echo(
        f"Serves as {made.part.exported.kind}: the network's own label on "
        f"{made.part.exported.agreement:.1%} of photos, {len(made.part.exported.model):,} bytes"
    )
    click.echo(f"Wrote {made.model_version} to {made.folder}")


def _ledger_list(context: click.Context, run_folder: Path) -> LedgerList:
    """What `tagger export-photos` says, as it was when the run began.

    The trainer knows no database: the command is asked for by its name.
    """
    folder = run_folder / "ledger"
    found = LedgerList(photos=folder / "photos.jsonl", taxonomy=folder / "taxonomy.yaml")
    if found.photos.is_file():
        click.echo(
            f"{found.photos} is of this run's beginning; delete it for a newer one", err=True
        )
        return found
    group = context.find_root().command
    assert isinstance(group, click.Group)
    export = group.get_command(context, "export-photos")
    assert export is not None
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / "new-photos.jsonl"
    context.invoke(export, output=aside, taxonomy_output=found.taxonomy)
    aside.replace(found.photos)
    return found
