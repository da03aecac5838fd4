"""From lists of photos to a network's files: read, complain, cross-fit, decide, learn, export."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from catalog.bundle import Bundle, BundleError, Part
from catalog.networks import Backgrounds, NetworkName
from catalog.taxonomy.files import read_taxonomy, shipped, shipped_names
from catalog.taxonomy.model import Taxonomy
from catalog.taxonomy.reserved import RESERVED
from trainer.fashion_mnist.classes import LABELS
from trainer.fashion_mnist.config import TrainConfig
from trainer.fashion_mnist.dataset import load_train, split_validation
from trainer.fashion_mnist.download import find_dataset
from trainer.photo_rule import FittedRule
from trainer.photos.alike import alike_out_of_fold
from trainer.photos.ambiguity import is_ambiguous, resolved
from trainer.photos.backbone import Backbone, find_backbone
from trainer.photos.bundling import PhotoFacts, takes_along, write_photo_bundle
from trainer.photos.cross_fitting import cross_fit, fitted_network
from trainer.photos.data import PhotoSet
from trainer.photos.garments import Garments, are_shown, find_garments
from trainer.photos.label_errors import FILE as SUSPECTED_FILE
from trainer.photos.label_errors import suspected_errors, told, weighed_down
from trainer.photos.label_errors import write as write_suspected
from trainer.photos.lists import LabelledPhoto, LedgerList, drafted_taxonomy, read_photos
from trainer.photos.mixing import FittedMixture, fit_mixture, gather
from trainer.photos.network import predict
from trainer.photos.publishing import WrittenPart, write_part
from trainer.photos.reading import load_photos
from trainer.photos.recipe import PhotoRecipe
from trainer.photos.rule import fit_rule
from trainer.photos.training import inputs, new_network


@dataclass(frozen=True, kw_only=True)
class MadeNetwork:
    """The bundle's folder and version; `mixture`: with a 28×28 network, where it has one."""

    folder: Path
    model_version: str
    part: WrittenPart
    rule: FittedRule
    mixture: FittedMixture | None


def make_photo_network(
    sources: Sequence[Path],
    *,
    ledger: LedgerList | None = None,
    group_column: str | None,
    taxonomy_name: str | None,
    backbone_name: str,
    recipe: PhotoRecipe,
    data_dir: Path | None,
    run_folder: Path,
    bundle_folder: Path,
    base: Bundle | None,
    helper: Part | None = None,
    origin: str,
    backgrounds: Backgrounds = Backgrounds.ANY,
    say: Callable[[str], object],
) -> MadeNetwork:
    """Train on the photos, decide out of fold, and write a bundle.

    ledger: what the shop's database knows. base: whose 28×28 network goes along. helper: a 28×28
    network of the same categories that helps with plain photos; None: the base's does. origin: of
    the photos, with their licence. backgrounds: which photos the network is to judge where a 28×28
    network goes along.

    Raises:
        PhotosError, TaxonomyError, BackboneError, DatasetError, BundleError: what is missing, and
            what to do.
    """
    backbone = find_backbone(backbone_name)
    listed = read_photos(sources, group_column) if sources else []
    if ledger is not None:
        listed += read_photos([ledger.photos], "group")
    taxonomy = find_taxonomy(taxonomy_name) if taxonomy_name else chosen_taxonomy(listed, ledger)
    say(f"categories: {taxonomy.title}, {len(taxonomy.ids)} of them")
    if helper is not None and helper.labels != taxonomy.ids:
        raise BundleError(
            f"Expected a helper of the categories of {taxonomy.title}, found "
            f"{helper.model_version} with {', '.join(helper.labels)}. Leave --helper out, or name "
            "a bundle of the same categories."
        )
    photos, problems = load_photos(listed, taxonomy, recipe.side_px)
    for line in problems.lines():
        say(line)
    doubted = suspected_errors(photos, backbone, recipe)
    # Beside the run, not in the bundle: it names the shop's own files, and bundles travel.
    suspected = run_folder / SUSPECTED_FILE
    write_suspected(doubted, photos, suspected)
    for line in told(doubted, photos, suspected):
        say(line)
    photos = weighed_down(photos, doubted)
    garments, held_out = _garments(photos, recipe, data_dir)
    sure = told_apart(photos, backbone, recipe)
    found = cross_fit(sure, garments, backbone, recipe, run_folder)
    network = fitted_network(sure, garments, backbone, recipe, run_folder / "all")
    fitted = fit_rule(found.scores, photos.targets, taxonomy)
    mixture = None
    along = base if base is not None and takes_along(base, taxonomy) else None
    if along is not None and backgrounds is Backgrounds.ANY:
        mixed_in = helper or along.part(NetworkName.REDUCED)
        evidence = gather(mixed_in, photos, found, held_out, network, recipe)
        mixture = fit_mixture(evidence, fitted.rule.temperature, taxonomy)
    part_folder = run_folder / "photo"
    part = write_part(part_folder, network, photos, fitted, recipe, backbone)
    facts = PhotoFacts(
        metrics=_metrics(fitted, mixture, part),
        training={"recipe": recipe.to_dict()},
        data={
            "origin": origin,
            "photos": len(photos),
            "groups": int(photos.groups.max()) + 1,
            "left_out": len(listed) - len(photos),
            "suspected_labels": len(doubted),
        },
    )
    fields = {**part.fields, "backgrounds": backgrounds.value}
    fields["mixture"] = None if mixture is None else mixture.fields
    # Not of `sure`: that words told shoes apart does not prove which of them are alike.
    alike = alike_out_of_fold(photos, found.scores, fitted, garments, backbone, recipe, run_folder)
    fields |= {"alike_min": alike.least, "alike_apart": alike.apart}
    manifest = write_photo_bundle(
        bundle_folder, part_folder, fields, taxonomy, facts, along, helper if mixture else None
    )
    return MadeNetwork(
        folder=bundle_folder,
        model_version=manifest.model_version,
        part=part,
        rule=fitted,
        mixture=mixture,
    )


def told_apart(photos: PhotoSet, backbone: Backbone, recipe: PhotoRecipe) -> PhotoSet:
    """The photos with one category each where ImageNet's words can tell which of several it is."""
    if not is_ambiguous(photos.targets) or backbone.imagenet_kernel is None:
        return photos
    network = new_network(backbone, photos.labels, recipe)
    scores = predict(network, inputs(photos, recipe))
    return replace(photos, targets=resolved(scores, photos.targets))


def _metrics(
    fitted: FittedRule, mixture: FittedMixture | None, part: WrittenPart
) -> dict[str, Any]:
    found = {"out_of_fold": dict(fitted.figures), "agreement": part.exported.agreement}
    if mixture is not None:
        found["mixture"] = {
            **mixture.rule.figures,
            "share": mixture.share,
            "right": {f"{share:.1f}": right for share, right in mixture.right.items()},
        }
    return found


def chosen_taxonomy(listed: Sequence[LabelledPhoto], ledger: LedgerList | None) -> Taxonomy:
    """The one in force, where it knows most of the photos' labels; else one drafted from them.

    A shop that has just begun, with labels of its own, still has the default one in force.
    """
    if ledger is not None:
        in_force = read_taxonomy(ledger.taxonomy)
        known = sum(
            any(in_force.find(label) or label in RESERVED for label in photo.labels)
            for photo in listed
        )
        if 2 * known > len(listed):
            return in_force
    return drafted_taxonomy(listed)


def find_taxonomy(name: str) -> Taxonomy:
    """A shipped taxonomy by its name, or one from a file.

    Raises:
        TaxonomyError: there is none, or it must not serve.
    """
    return shipped(name) if name in shipped_names() else read_taxonomy(Path(name))


def _garments(
    photos: PhotoSet, recipe: PhotoRecipe, data_dir: Path | None
) -> tuple[Garments | None, Garments | None]:
    """Fashion-MNIST pictures to learn from, and those that the 28×28 network was not shown."""
    if not recipe.garments or not are_shown(photos.labels, LABELS):
        return None, None
    pictures = load_train(find_dataset(data_dir))
    shown, held_out = split_validation(pictures, TrainConfig.validation_share)
    return find_garments(shown, LABELS, photos), find_garments(held_out, LABELS, photos)
