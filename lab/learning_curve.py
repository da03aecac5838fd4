"""How much a shop gains from how many corrections: measured on photos that were not drawn."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalog.acceptance import flags
from catalog.bundle import load_bundle
from catalog.out_of_taxonomy import two_banks
from catalog.statistics import softmax
from trainer.adapt import AdaptConfig, Learned, learn, open_base, parts
from trainer.cross_fitting import known_photos
from trainer.fashion_mnist.classes import LABELS
from trainer.fashion_mnist.dataset import DatasetError
from trainer.fashion_mnist.network import accuracy, logits_of
from trainer.fine_tuning import LEARNERS, embedding_of
from trainer.photo_evaluation import Photo, load_input, read_photos, rightly_named
from trainer.photo_rule import banks
from trainer.shop_photos import STRANGER, ShopPhotos
from trainer.strangeness import separation
from trainer.tables import percent


@dataclass(frozen=True, kw_only=True)
class Point:
    """One draw: `corrections` photos learned from, strangers among them, and the rest judged.

    `learner` is `base` where the base was kept. `accuracy` of the rest's photos of the ten
    classes, `accuracy_exact` of those whose label means what Fashion-MNIST means. `accepted`: what
    the fitted rule does with the rest, strangers among them; None where the base was kept.
    """

    set: str
    corrections: int
    of_the_ten_classes: int
    seed: int
    learner: str
    photos: int
    accuracy: float
    accuracy_exact: float | None
    fashion_mnist_before: float
    fashion_mnist_after: float
    accepted: Mapping[str, Any] | None = None

    def as_text(self) -> str:
        """One line for people."""
        exact = "none" if self.accuracy_exact is None else percent(self.accuracy_exact)
        return (
            f"{self.set} {self.corrections:>4} corrections, draw {self.seed}: {self.learner:<7} "
            f"{percent(self.accuracy)} of {self.photos} others right (exact labels {exact}), "
            f"Fashion-MNIST {percent(self.fashion_mnist_before)} → "
            f"{percent(self.fashion_mnist_after)}" + self._accepted_text()
        )

    def _accepted_text(self) -> str:
        if self.accepted is None:
            return ""
        coverage, count, wrong = (self.accepted[name] for name in ("coverage", "count", "wrong"))
        flagged = percent(self.accepted["strangers_flagged"])
        return (
            f"; {percent(coverage)} accepted, {wrong} of {count} wrong, "
            f"{flagged} of the strangers flagged"
        )


def learning_curve(
    bundle_folder: Path,
    manifest: Path,
    set_name: str,
    data_folder: Path,
    *,
    counts: Sequence[int],
    seeds: Iterable[int],
    verify: bool = True,
    config: AdaptConfig | None = None,
    learner: str | None = None,
) -> Iterator[Point]:
    """A point for each count and seed; what is drawn grows with the count, the rest is judged.

    learner: learn this way without choosing, which costs a quarter of the time.

    Raises:
        DatasetError: the manifest has no readable photo of that set.
    """
    config = config or AdaptConfig()
    bundle = load_bundle(bundle_folder)
    train, held_out = parts(bundle, data_folder, verify=verify)
    base = open_base(bundle, train, held_out, config)
    kept, whole = readable(manifest, set_name)
    for seed in seeds:
        order = np.random.default_rng(seed).permutation(len(whole))
        for count in counts:
            drawn, rest = order[:count], order[count:]
            base.restore()
            learned = None
            if learner and count:
                LEARNERS[learner](base, known_photos(whole.take(drawn)), config.seed)
            elif count:
                learned = learn(base, whole.take(drawn), config)
            predicted = logits_of(base.network, whole.images[rest]).argmax(axis=1)
            right = rightly_named([kept[place] for place in rest], predicted)
            known = whole.known[rest]
            exact = known & np.array([kept[place].exact for place in rest])
            yield Point(
                set=set_name,
                corrections=count,
                of_the_ten_classes=int(whole.known[drawn].sum()),
                seed=seed,
                learner=learned.choice.name
                if learned
                else learner
                if learner and count
                else "base",
                photos=int(known.sum()),
                accuracy=float(right[known].mean()),
                accuracy_exact=float(right[exact].mean()) if exact.any() else None,
                fashion_mnist_before=base.held_out_accuracy,
                fashion_mnist_after=accuracy(base.network, base.held_out),
                accepted=accepted(learned, whole.take(drawn), whole.take(rest), right),
            )


def readable(manifest: Path, set_name: str) -> tuple[list[Photo], ShopPhotos]:
    """The photos of a set that can be read, and the same as if people had labelled them.

    Raises:
        DatasetError: there are none.
    """
    listed = [photo for photo in read_photos(manifest) if photo.set == set_name]
    read = [(photo, load_input(photo.path)) for photo in listed]
    pairs = [(photo, pixels) for photo, pixels in read if pixels is not None]
    if not pairs:
        raise DatasetError(
            f"Expected photos of the set {set_name!r} in {manifest}, found none that can be read."
        )
    kept = [photo for photo, _ in pairs]
    return kept, as_shop(kept, np.stack([pixels for _, pixels in pairs]))


def accepted(
    learned: Learned | None, drawn: ShopPhotos, rest: ShopPhotos, right: NDArray[np.bool_]
) -> dict[str, Any] | None:
    """What the rule that was fitted on the drawn photos accepts of the rest, and how well."""
    if learned is None or learned.rule is None:
        return None
    rule, network = learned.rule.rule, learned.base.network
    embed = partial(embedding_of, network)
    logits = logits_of(network, rest.images)
    strangeness = two_banks(logits, embed(rest.images), banks(embed, drawn, learned.base.replay))
    confidences = softmax(logits, rule.temperature)
    taken = flags(rule, LABELS, confidences, strangeness=strangeness).accepted
    known, strangers = rest.known, ~rest.known
    return {
        "coverage": float(taken[known].mean()),
        "count": int(taken.sum()),
        "wrong": int((taken & ~(right & known)).sum()),
        "strangers_flagged": float((~taken[strangers]).mean()) if strangers.any() else None,
        "strangers_auroc": (
            separation(strangeness[known], strangeness[strangers]) if strangers.any() else None
        ),
    }


def as_shop(photos: Sequence[Photo], images: NDArray[np.uint8]) -> ShopPhotos:
    """Listed photos as if people had labelled them."""
    numbers = [LABELS.index(each.label) if each.label in LABELS else STRANGER for each in photos]
    return ShopPhotos(images=images, labels=np.array(numbers, np.int64))
