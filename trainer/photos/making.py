"""From lists of photos to a network's files: read, complain, cross-fit, decide, learn, export."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from catalog.bundle import Bundle
from catalog.networks import Backgrounds, PhotoRule
from catalog.taxonomy.files import read_taxonomy, shipped, shipped_names
from catalog.taxonomy.model import Taxonomy
from trainer.fashion_mnist.classes import LABELS
from trainer.fashion_mnist.dataset import load_train
from trainer.fashion_mnist.download import find_dataset
from trainer.level_acceptance import with_parents
from trainer.photo_rule import FittedRule
from trainer.photos.ambiguity import is_ambiguous, resolved
from trainer.photos.backbone import find_backbone
from trainer.photos.bundling import PhotoFacts, write_photo_bundle
from trainer.photos.cross_fitting import between, choose_share, cross_fit, fitted_network
from trainer.photos.data import PhotoSet, load_photos
from trainer.photos.garments import Garments, find_garments
from trainer.photos.lists import drafted_taxonomy, read_photos
from trainer.photos.publishing import WrittenPart, write_part
from trainer.photos.recipe import PhotoRecipe
from trainer.photos.rule import fit_rule, labels_in_view, strangeness_of


@dataclass(frozen=True, kw_only=True)
class MadeNetwork:
    """The bundle's folder and version; `share`: how far from the first weights it went, 0-1."""

    folder: Path
    model_version: str
    part: WrittenPart
    rule: FittedRule
    share: float


def make_photo_network(
    sources: Sequence[Path],
    *,
    group_column: str | None,
    taxonomy_name: str | None,
    backbone_name: str,
    recipe: PhotoRecipe,
    data_dir: Path | None,
    run_folder: Path,
    bundle_folder: Path,
    base: Bundle | None,
    origin: str,
    backgrounds: Backgrounds = Backgrounds.ANY,
    say: Callable[[str], object],
) -> MadeNetwork:
    """Train on the photos, decide out of fold, and write a bundle.

    base: whose 28×28 network goes along. origin: of the photos, with their licence. backgrounds:
    which photos the network is to judge where a 28×28 network goes along.

    Raises:
        PhotosError, TaxonomyError, BackboneError, DatasetError, BundleError: what is missing, and
            what to do.
    """
    backbone = find_backbone(backbone_name)
    listed = read_photos(sources, group_column)
    taxonomy = find_taxonomy(taxonomy_name) if taxonomy_name else drafted_taxonomy(listed)
    photos, problems = load_photos(listed, taxonomy, recipe.side_px)
    for line in problems.lines():
        say(line)
    garments = _garments(photos, recipe, data_dir)
    found = cross_fit(photos, garments, backbone, recipe, run_folder)
    network, first = fitted_network(photos, garments, backbone, recipe, run_folder / "all")
    if recipe.second_epochs and is_ambiguous(photos.targets):
        sure = replace(photos, targets=resolved(found.scores[-1], photos.targets))
        again = run_folder / "second"
        learn_on = sure, garments, backbone, recipe.second
        found = cross_fit(*learn_on, again, after=run_folder)
        network, first = fitted_network(*learn_on, again / "all", after=run_folder / "all")
    share = choose_share(found, photos)
    scores = found.scores[found.shares.index(share)]
    fitted = fit_rule(scores, photos.targets, photos.labels)
    fitted = replace(fitted, rule=_with_parents(fitted, scores, photos, taxonomy))
    network.set_weights(between(first, network.get_weights(), share))
    part_folder = run_folder / "photo"
    part = write_part(part_folder, network, photos, fitted, recipe, backbone)
    facts = PhotoFacts(
        metrics={"out_of_fold": dict(fitted.figures), "agreement": part.exported.agreement},
        training={"recipe": recipe.to_dict(), "share": share},
        data={
            "origin": origin,
            "photos": len(photos),
            "groups": int(photos.groups.max()) + 1,
            "left_out": len(listed) - len(photos),
        },
    )
    fields = {**part.fields, "backgrounds": backgrounds.value}
    manifest = write_photo_bundle(bundle_folder, part_folder, fields, taxonomy, facts, base)
    return MadeNetwork(
        folder=bundle_folder,
        model_version=manifest.model_version,
        part=part,
        rule=fitted,
        share=share,
    )


def _with_parents(
    fitted: FittedRule, scores: NDArray[np.float32], photos: PhotoSet, taxonomy: Taxonomy
) -> PhotoRule:
    logits = scores[:, :-1]
    truth = labels_in_view(logits, photos.targets)
    strangeness = strangeness_of(scores)
    return with_parents(fitted.rule, logits, truth, strangeness, photos.labels, taxonomy)


def find_taxonomy(name: str) -> Taxonomy:
    """A shipped taxonomy by its name, or one from a file.

    Raises:
        TaxonomyError: there is none, or it must not serve.
    """
    return shipped(name) if name in shipped_names() else read_taxonomy(Path(name))


def _garments(photos: PhotoSet, recipe: PhotoRecipe, data_dir: Path | None) -> Garments | None:
    if not recipe.garments:
        return None
    return find_garments(load_train(find_dataset(data_dir)), LABELS, photos)
