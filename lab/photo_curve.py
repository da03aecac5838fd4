"""How much a shop gains from how many corrections of the photo network: judged on the others."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from catalog.acceptance import flags
from catalog.bundle import Bundle, load_bundle
from catalog.networks import PictureKind
from catalog.settings import settings
from catalog.statistics import softmax
from trainer.corrections import Correction
from trainer.fashion_mnist.dataset import DatasetError
from trainer.photo_evaluation import Photo, read_photos
from trainer.photos.adapting import LearnedPhotos, PhotoAdaptConfig, course_of, learn_photos
from trainer.photos.head_fitting import seen
from trainer.photos.recipe import PhotoRecipe
from trainer.photos.rule import strangeness_of
from trainer.photos.shop import ShopPictures, read_pictures
from trainer.photos.training import inputs
from trainer.photos.ways import Course
from trainer.tables import percent


@dataclass(frozen=True, kw_only=True)
class PhotoPoint:
    """One draw: `corrections` photos learned from, strangers among them, and the rest judged.

    chosen: by the cross-fitting, `base` where the bundle stays. accuracy: of the rest's photos of a
    category; accuracy_exact: of those whose label means what the category means. coverage: accepted
    of them, 0-1; accepted and wrong: strangers among them. All by what judges after learning.
    """

    set: str
    corrections: int
    seed: int
    chosen: str
    photos: int
    accuracy: float
    accuracy_exact: float | None
    coverage: float
    accepted: int
    wrong: int
    strangers_flagged: float | None

    def as_text(self) -> str:
        """One line for people."""
        exact = "none" if self.accuracy_exact is None else percent(self.accuracy_exact)
        return (
            f"{self.set} {self.corrections:>4} corrections, draw {self.seed}: {self.chosen}: "
            f"{percent(self.accuracy)} of {self.photos} others right (exact labels {exact}), "
            f"{percent(self.coverage)} accepted, {self.wrong} of {self.accepted} wrong"
        )

    def as_json(self) -> str:
        """One object."""
        return json.dumps(asdict(self))


def photo_curve(
    bundle_folder: Path,
    manifest: Path,
    set_name: str,
    *,
    counts: Sequence[int],
    seeds: Iterable[int],
    config: PhotoAdaptConfig | None = None,
) -> Iterator[PhotoPoint]:
    """A point for each count and seed; what is drawn grows with the count, the rest is judged.

    Raises:
        DatasetError: the manifest has no photo of that set.
    """
    bundle = load_bundle(bundle_folder)
    listed, whole = readable(bundle, manifest, set_name)
    config = config or PhotoAdaptConfig()
    exact = np.array([photo.exact for photo in listed])
    looked_at = LookedAt.of(bundle, whole, config)
    for seed in seeds:
        order = np.random.default_rng(seed).permutation(len(whole))
        for count in counts:
            drawn, rest = order[:count], order[count:]
            learned = learn_photos(
                bundle,
                whole.take(drawn),
                bundle.manifest.taxonomy,
                config,
                course=looked_at.course(drawn),
            )
            yield point(set_name, seed, count, learned, whole.take(rest), exact[rest])


@dataclass(frozen=True, kw_only=True)
class LookedAt:
    """What the bundle's photo network sees in all photos, once for all draws.

    whole: of the photos among the pictures; rows: int64 (N,), each picture's place among these, -1
    where it is no photo.
    """

    whole: Course
    rows: NDArray[np.int64]

    @classmethod
    def of(cls, bundle: Bundle, pictures: ShopPictures, config: PhotoAdaptConfig) -> "LookedAt":
        """Look at them."""
        photos = pictures.is_kind(PictureKind.PLAIN, PictureKind.BUSY)
        taxonomy = bundle.manifest.taxonomy
        return cls(
            whole=course_of(bundle, pictures.take(photos), taxonomy, config),
            rows=np.where(photos, np.cumsum(photos) - 1, -1),
        )

    def course(self, drawn: NDArray[np.int64]) -> Course | None:
        """Of the photos among those drawn, int64 (n,).

        None where the photos show a category that the network never saw: a draw without it is
        learned by a network of fewer outputs.
        """
        rows = self.rows[drawn]
        return None if self.whole.opened.added else self.whole.take(rows[rows >= 0])


def readable(bundle: Bundle, manifest: Path, set_name: str) -> tuple[list[Photo], ShopPictures]:
    """The photos of a set, equal ones once, as if people had labelled them.

    Raises:
        DatasetError: there are none.
    """
    listed = {str(each.path): each for each in read_photos(manifest) if each.set == set_name}
    if not listed:
        raise DatasetError(f"Expected photos of the set {set_name!r} in {manifest}, found none.")
    corrections = [Correction(image_uri=path, label=each.label) for path, each in listed.items()]
    pictures = read_pictures(corrections, bundle, settings())
    return [listed[uri] for uri in pictures.uris], pictures


def point(
    set_name: str,
    seed: int,
    count: int,
    learned: LearnedPhotos,
    rest: ShopPictures,
    exact: NDArray[np.bool_],
) -> PhotoPoint:
    """What is said of the photos that were not drawn, after learning."""
    right, taken = _judged(learned, rest)
    known = rest.known
    strangers = ~known
    return PhotoPoint(
        set=set_name,
        corrections=count,
        seed=seed,
        chosen=learned.choice.name,
        photos=int(known.sum()),
        accuracy=float(right[known].mean()),
        accuracy_exact=float(right[known & exact].mean()) if (known & exact).any() else None,
        coverage=float(taken[known].mean()),
        accepted=int(taken.sum()),
        wrong=int((taken & ~right).sum()),
        strangers_flagged=float((~taken[strangers]).mean()) if strangers.any() else None,
    )


def _judged(
    learned: LearnedPhotos, rest: ShopPictures
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which are rightly named, strangers never, and which are accepted; both bool (N,)."""
    names = np.array(rest.names)
    right, taken = np.array(rest.said) == names, rest.accepted.copy()
    if not learned.changed or learned.opened is None:
        return right, taken
    labels = learned.opened.labels
    served = inputs(rest.for_photo_network(labels), PhotoRecipe(side_px=learned.opened.side_px))
    scores = seen(learned.opened, [served]).scores[0]
    for kind, fitted, logits in learned.spoken(scores, rest):
        said = np.array(labels)[logits.argmax(axis=1)]
        right = np.where(kind, said == names, right)
        if fitted is not None:
            confidences = softmax(logits, fitted.rule.temperature)
            strange = strangeness_of(scores)
            found = flags(fitted.rule, labels, confidences, strangeness=strange)
            taken = np.where(kind, found.accepted, taken)
    return right, taken


def summary(points: Sequence[PhotoPoint]) -> list[str]:
    """Mean and range over the draws of each count."""
    lines = []
    for count in sorted({each.corrections for each in points}):
        mine = [each for each in points if each.corrections == count]
        exact = [each.accuracy_exact for each in mine if each.accuracy_exact is not None]
        accepted, wrong = (
            sum(getattr(each, name) for each in mine) for name in ("accepted", "wrong")
        )
        lines.append(
            f"{count:>4} corrections, {len(mine)} draws: exact labels {_spread(exact)}, all "
            f"{_spread([each.accuracy for each in mine])}, accepted "
            f"{_spread([each.coverage for each in mine])}, {wrong} of {accepted} wrong"
        )
    return lines


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "none"
    mean = sum(values) / len(values)
    return f"{percent(mean)} ({percent(min(values))} to {percent(max(values))})"
