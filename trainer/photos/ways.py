"""Ways for a photo network to learn from a shop's pictures, each judged on those it did not see."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from catalog.bundle import BundleError
from catalog.images.decode import decode
from catalog.images.photo_input import DECODE_PX, photo_input
from catalog.photo_sample import photo_sample, sampled_taxonomies
from catalog.statistics import softmax
from trainer.photos.data import KEPT_SHARE, PhotoSet
from trainer.photos.head_fitting import HeadConfig, Looks, fit_head, look, seen
from trainer.photos.opening import OpenedNetwork
from trainer.photos.recipe import PhotoRecipe
from trainer.photos.training import inputs
from trainer.photos.tuning import SURE, TuningConfig, tune

Say = Callable[[str], None]


class Way(StrEnum):
    """What of the photo network learns; cheap ones first."""

    BASE = "base"  # nothing: the network as it is
    HEAD = "head"  # the head, on features that stay
    NETWORK = "network"  # head and features


@dataclass(frozen=True, kw_only=True)
class Course:
    """What a photo network is to learn from.

    photos: N labelled ones; looks: what the opened network sees in them. memory: photos of which it
    is to say what it said, and its looks at them.
    """

    opened: OpenedNetwork
    photos: PhotoSet
    looks: Looks
    memory: PhotoSet
    memory_looks: Looks
    head: HeadConfig = field(default_factory=HeadConfig)
    tuning: TuningConfig = field(default_factory=TuningConfig)
    seed: int = 0

    @property
    def added(self) -> tuple[int, ...]:
        """The places of categories that the network never saw."""
        return tuple(self.opened.labels.index(label) for label in self.opened.added)

    def take(self, chosen: NDArray[np.int64]) -> "Course":
        """Of the photos at `chosen`; nothing is looked at again."""
        return replace(self, photos=self.photos.take(chosen), looks=self.looks.take(chosen))


def prepare(
    opened: OpenedNetwork, photos: PhotoSet, head: HeadConfig, tuning: TuningConfig, seed: int
) -> Course:
    """Look at all photos, and at those to be remembered, once."""
    memory, recipe = remembered(opened, photos.labels), recipe_of(opened, seed)
    return Course(
        opened=opened,
        photos=photos,
        looks=look(opened, photos, head, recipe),
        memory=memory,
        memory_looks=look(opened, memory, replace(head, views=2), recipe),
        head=head,
        tuning=tuning,
        seed=seed,
    )


def recipe_of(opened: OpenedNetwork, seed: int) -> PhotoRecipe:
    """How photos are shown to the network; nothing is cut out."""
    return replace(PhotoRecipe(), side_px=opened.side_px, background_share=0.0, seed=seed)


def remembered(opened: OpenedNetwork, labels: tuple[str, ...]) -> PhotoSet:
    """The project's own sample of photos, whatever it shows: the network is to go on saying it."""
    side_px = round(opened.side_px * KEPT_SHARE)
    pictures = [each for name in sampled_taxonomies() for each in photo_sample(name)]
    if not pictures:
        raise BundleError("Expected the sample of photos in catalog/sample_data, found none.")
    decoded = [decode(each.path.read_bytes(), size_px_min=DECODE_PX).pixels for each in pictures]
    pixels = np.stack([photo_input(each, side_px).pixels for each in decoded])
    return PhotoSet(
        labels=labels,
        pixels=pixels,
        masks=np.zeros(pixels.shape[:3], np.bool_),
        targets=np.zeros((len(pixels), len(labels) + 1), np.bool_),
        groups=np.arange(len(pixels), dtype=np.int64),
        paths=tuple(str(each.path) for each in pictures),
    )


def learn(course: Course, way: Way, chosen: NDArray[np.bool_]) -> None:
    """Let the opened network learn from the `chosen` photos, bool (N,); it was restored before."""
    course.opened.restore()
    if way is Way.BASE:
        return
    kernel = _kernel(course, chosen)
    if way is Way.HEAD:
        course.opened.add_to_head(kernel)
        return
    shown = _with_memory(course, course.photos.take(chosen))
    tune(course.opened, kernel, shown, course.tuning, course.seed)


@dataclass(frozen=True, kw_only=True)
class Words:
    """What was said of N photos, each by a network that was not shown its fold.

    scores: float32 (N, C + 1). features: float32 (N, F), averaged over their places; network: int64
    (N,), by which network: features of two have nothing to do with each other.
    """

    scores: NDArray[np.float32]
    features: NDArray[np.float32]
    network: NDArray[np.int64]


def out_of_fold(course: Course, way: Way, fold: NDArray[np.int64]) -> Words:
    """What is said of all photos by networks that learned from the other folds, int64 (N,).

    Of categories that the base never saw it says nothing. The network is restored.
    """
    scores, features = course.looks.scores[0].copy(), course.looks.features[0].copy()
    recipe = recipe_of(course.opened, course.seed)
    if way is Way.BASE:
        scores[:, list(course.added)] = scores.min() - 1
    if way is not Way.NETWORK:
        for number in np.unique(fold) if way is Way.HEAD else ():
            held_out = fold == number
            scores[held_out] = course.looks.take(held_out).with_head(_kernel(course, ~held_out))
        return Words(scores=scores, features=features, network=np.zeros_like(fold))
    for number in np.unique(fold):
        held_out = fold == number
        learn(course, way, ~held_out)
        found = seen(course.opened, [inputs(course.photos.take(held_out), recipe)])
        scores[held_out], features[held_out] = found.scores[0], found.features[0]
    course.opened.restore()
    return Words(scores=scores, features=features, network=fold)


def _kernel(course: Course, chosen: NDArray[np.bool_]) -> NDArray[np.float32]:
    return fit_head(
        course.looks.take(chosen),
        course.photos.targets[chosen],
        course.memory_looks,
        course.head,
        course.added,
    )


def _with_memory(course: Course, photos: PhotoSet) -> PhotoSet:
    """The photos, and those to be remembered that the network was sure of, as it called them."""
    said = softmax(course.memory_looks.scores[0].astype(np.float64))
    sure = said.max(axis=1) >= SURE
    memory = course.memory.take(sure)
    targets = np.zeros_like(memory.targets)
    targets[np.arange(len(memory)), said[sure].argmax(axis=1)] = True
    return PhotoSet(
        labels=photos.labels,
        pixels=np.concatenate([photos.pixels, memory.pixels]),
        masks=np.concatenate([photos.masks, memory.masks]),
        targets=np.concatenate([photos.targets, targets]),
        groups=np.arange(len(photos) + len(memory), dtype=np.int64),
        paths=(*photos.paths, *memory.paths),
    )
