"""A new bundle from one with a photo network and a shop's corrections, or the same where that is
better.

Corrections teach the network that judged them: photos the photo network, which may come to judge
those on plain backgrounds too; what the 28×28 network still judges afterwards teaches that one.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from catalog.bundle import (
    TAXONOMY,
    Bundle,
    Manifest,
    checksums,
    load_bundle,
    write_manifest,
)
from catalog.networks import Backgrounds, Network, NetworkName, PictureKind
from catalog.taxonomy.document import to_json
from catalog.taxonomy.model import Taxonomy
from trainer.adapt import AdaptConfig, Learned, learn, open_base, parts, write_adapted
from trainer.fashion_mnist.classes import LABELS
from trainer.fashion_mnist.network import accuracy
from trainer.photos.adapted_part import write_adapted_part
from trainer.photos.adapting import (
    LearnedPhotos,
    PhotoAdaptConfig,
    facts_of,
    learn_photos,
)
from trainer.photos.bundling import version_of
from trainer.photos.shop import ShopPictures
from trainer.photos.ways import Way
from trainer.written_aside import written_aside

Say = Callable[[str], None]
FindData = Callable[[], Path]


@dataclass(frozen=True, kw_only=True)
class BothConfig:
    """How each network of a bundle learns."""

    photo: PhotoAdaptConfig = field(default_factory=PhotoAdaptConfig)
    reduced: AdaptConfig = field(default_factory=AdaptConfig)

    @classmethod
    def of(cls, learners: Sequence[str], seed: int) -> "BothConfig":
        """With these ways to choose from."""
        return cls(
            photo=PhotoAdaptConfig(ways=tuple(Way(each) for each in learners), seed=seed),
            reduced=AdaptConfig(learners=tuple(learners), seed=seed),
        )


@dataclass(frozen=True, kw_only=True)
class AdaptedBoth:
    """What came of it. `model_version` is the base's own where nothing was learned.

    photos: of the photo network. reduced: of the 28×28 network, None where no picture was left for
    it; fashion_mnist: its held-out accuracy before and after.
    """

    folder: Path
    model_version: str
    photos: LearnedPhotos
    reduced: Learned | None
    fashion_mnist: tuple[float, float] | None

    @property
    def changed(self) -> bool:
        """Whether anything was learned."""
        return self.photos.changed or _changed(self.reduced)


def adapt_both(
    base_folder: Path,
    pictures: ShopPictures,
    find_data: FindData,
    out: Path,
    config: BothConfig,
    *,
    taxonomy: Taxonomy | None = None,
    verify: bool = True,
    say: Say = lambda line: None,
) -> AdaptedBoth:
    """Learn from `pictures` and write a bundle to `out`; where nothing is learned, the base's copy.

    find_data: the folder of Fashion-MNIST, asked only where the 28×28 network learns. taxonomy: a
    later version of the bundle's.

    Raises:
        BundleError, DatasetError: what was expected and what was found; `out` is as it was.
    """
    bundle = load_bundle(base_folder)
    wanted = taxonomy or bundle.manifest.taxonomy
    photos = learn_photos(bundle, pictures, wanted, config.photo, say=say)
    with written_aside(out) as aside:
        reduced, fashion_mnist = None, None
        for_reduced = _for_reduced(bundle, pictures, photos)
        if for_reduced is not None and int(for_reduced.known.sum()) >= config.reduced.known_min:
            say(f"28×28 network: {len(for_reduced)} pictures are its own to judge")
            train, held_out = parts(bundle, find_data(), verify=verify)
            base = open_base(bundle, train, held_out, config.reduced)
            mine = for_reduced.for_reduced_network(LABELS)
            reduced = learn(base, mine, config.reduced, say=say)
            fashion_mnist = base.held_out_accuracy, accuracy(base.network, held_out)
            if _changed(reduced):
                write_adapted(aside, bundle, reduced, mine, train, config.reduced)
        if not _changed(reduced):
            shutil.copytree(base_folder, aside, dirs_exist_ok=True)
        if photos.changed:
            say("writing the photo network")
            _write_photo_network(aside, bundle, photos, pictures, wanted, config.photo)
        manifest = load_bundle(aside).manifest
    return AdaptedBoth(
        folder=out,
        model_version=manifest.model_version,
        photos=photos,
        reduced=reduced,
        fashion_mnist=fashion_mnist,
    )


def _changed(learned: Learned | None) -> bool:
    return learned is not None and learned.choice.name != "base"


def _for_reduced(
    bundle: Bundle, pictures: ShopPictures, photos: LearnedPhotos
) -> ShopPictures | None:
    """What is left for the 28×28 network, None where there is none or it cannot name it."""
    labels = photos.opened.labels if photos.changed and photos.opened else bundle.manifest.labels
    if NetworkName.REDUCED not in bundle.parts or labels != LABELS:
        return None
    kinds = [PictureKind.REDUCED]
    if photos.backgrounds is Backgrounds.BUSY:
        kinds.append(PictureKind.PLAIN)
    return pictures.take(pictures.is_kind(*kinds))


def _left_behind(photo: Network, new_labels: bool) -> set[NetworkName]:
    """The networks that must not stand beside a photo network that learned.

    All networks of a bundle name the same categories, and one that helps nobody only costs memory.
    """
    if new_labels:
        return {NetworkName.REDUCED, NetworkName.CUTOUT}
    return set() if photo.mixture else {NetworkName.CUTOUT}


def _write_photo_network(
    folder: Path,
    bundle: Bundle,
    learned: LearnedPhotos,
    pictures: ShopPictures,
    taxonomy: Taxonomy,
    config: PhotoAdaptConfig,
) -> Manifest:
    """Put the photo network that learned into a bundle's folder, in the place of the one there."""
    opened, before = learned.opened, load_bundle(folder).manifest
    assert opened is not None
    shutil.rmtree(folder / NetworkName.PHOTO)
    photos = pictures.take(pictures.is_kind(PictureKind.PLAIN, PictureKind.BUSY))
    network = write_adapted_part(
        folder / NetworkName.PHOTO,
        photos.for_photo_network(opened.labels),
        learned,
        bundle.part(NetworkName.PHOTO).network,
    )
    networks = {**before.networks, NetworkName.PHOTO: network}
    for name in _left_behind(network, opened.labels != before.labels) & networks.keys():
        del networks[name]
        shutil.rmtree(folder / name)
    (folder / TAXONOMY).write_text(to_json(taxonomy), encoding="utf-8")
    files = checksums(folder)
    manifest = replace(
        before,
        model_version=version_of(taxonomy, files, network),
        labels=opened.labels,
        taxonomy=taxonomy,
        networks=networks,
        metrics={**before.metrics, "photo_adaptation": facts_of(learned)},
        training={
            **before.training,
            "photo_adaptation": provenance(bundle, photos, learned, config),
        },
        files=files,
    )
    write_manifest(folder, manifest)
    return manifest


def provenance(
    bundle: Bundle, photos: ShopPictures, learned: LearnedPhotos, config: PhotoAdaptConfig
) -> dict[str, Any]:
    """From which bundle and how many photos of what; the photos themselves stay with the shop."""
    names, counts = np.unique(photos.names, return_counts=True)
    return {
        "base": bundle.manifest.model_version,
        "photos": len(photos),
        "labels": {str(name): int(count) for name, count in zip(names, counts, strict=True)},
        "way": learned.way.value,
        "config": asdict(config),
        "keras": keras.__version__,
    }
