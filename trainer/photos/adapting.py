"""What a photo network learns from a shop's pictures, which photos it judges, and by what rule.

All is decided on pictures that the network in question was not shown.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalog.bundle import Bundle
from catalog.networks import Backgrounds, Network, NetworkName, PictureKind
from catalog.statistics import TINY, softmax
from catalog.taxonomy.model import Taxonomy
from catalog.taxonomy.reserved import NOT_IN_TAXONOMY
from trainer.cross_fitting import Choice, OutOfFold, choose, folds_of
from trainer.photo_rule import FittedRule, PhotoRuleConfig, known_temperature
from trainer.photos.adapted_rule import (
    SHARES,
    AdaptedMixture,
    Evidence,
    adapted_mixture,
    mixed_logits,
    own_rule,
    proved_rule,
)
from trainer.photos.alike import Alike, Seen, fit_alike
from trainer.photos.head_fitting import HeadConfig
from trainer.photos.network import STRANGER_SCALE
from trainer.photos.opening import OpenedNetwork, open_network
from trainer.photos.rule import strangeness_of
from trainer.photos.shop import ShopPictures
from trainer.photos.tuning import TuningConfig
from trainer.photos.ways import Course, Way, Words, learn, out_of_fold, prepare

Say = Callable[[str], None]
# What a choice is called where the photo network is to judge photos on plain backgrounds as well.
EVERYWHERE = " for all photos"
# And where the 28×28 network helps it with these.
TOGETHER = " with the 28×28 network"


@dataclass(frozen=True, kw_only=True)
class PhotoAdaptConfig:
    """How a photo network is adapted; saved in the manifest."""

    ways: tuple[Way, ...] = (Way.HEAD, Way.NETWORK)
    folds: int = 3
    # More of them for the rule where only the head learns, in seconds: closer to what learns from
    # all photos.
    head_folds: int = 9
    seed: int = 0
    # A way must be better than what judges today, and by chance this seldom.
    doubt_max: float = 0.05
    known_min: int = 20  # fewer photos of categories teach nothing
    # On busy backgrounds, beside others: fewer show nothing of a rule for these.
    busy_min: int = 60
    categories_min: int = 2  # photos of one category alone would teach to say it always
    head: HeadConfig = field(default_factory=HeadConfig)
    tuning: TuningConfig = field(default_factory=TuningConfig)
    # What is proved of photos: strangers count as wrong.
    rule: PhotoRuleConfig = field(default_factory=PhotoRuleConfig)


@dataclass(frozen=True, kw_only=True)
class LearnedPhotos:
    """A photo network that has learned, still in memory.

    way: how; Way.BASE where nothing was better than the bundle. backgrounds: which photos it is to
    judge. rule: for those that it judges alone, without figures where it is the bundle's own; None
    where nothing changed. mixture: where the 28×28 network helps. choice: all comparisons, with
    what judges today as `base`. alike: which photos show one category by their embeddings; None
    where it is not another network.
    """

    opened: OpenedNetwork | None
    way: Way
    backgrounds: Backgrounds
    choice: Choice
    rule: FittedRule | None
    mixture: AdaptedMixture | None = None
    alike: Alike | None = None

    @property
    def changed(self) -> bool:
        """Whether the bundle is to be another one for it."""
        return self.choice.name != "base"

    def spoken(
        self, scores: NDArray[np.float32], pictures: ShopPictures
    ) -> Iterator[tuple[NDArray[np.bool_], FittedRule | None, NDArray[np.floating]]]:
        """Which pictures are judged in one way, bool (N,), by which rule, and the logits (N, C).

        scores: float32 (N, C + 1), what the network that learned says of all of them.
        """
        plain, busy = (pictures.is_kind(kind) for kind in (PictureKind.PLAIN, PictureKind.BUSY))
        logits = scores[:, :-1]
        yield busy, self.rule, logits
        if self.backgrounds is Backgrounds.ANY and self.mixture is None:
            yield plain, self.rule, logits
        if self.mixture is not None and self.rule is not None:
            spoken = np.log(np.maximum(softmax(logits, self.rule.rule.temperature), TINY))
            weights = self.mixture.photo_weight, self.mixture.reduced_weight
            both = weights[0] * spoken + weights[1] * pictures.reduced_words
            yield plain, self.mixture.fitted, both


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What would be said of N photos: by a network that learned in this way, or is left as it is.

    logits: float32 (N, C) or (N, C + 1). everywhere: it judges plain backgrounds too. share: of the
    28×28 network's word on these, 0 to 1.
    """

    way: Way
    logits: NDArray[np.float32]
    everywhere: bool = False
    share: float = 0.0


def learn_photos(
    bundle: Bundle,
    pictures: ShopPictures,
    taxonomy: Taxonomy,
    config: PhotoAdaptConfig,
    *,
    course: Course | None = None,
    say: Say = lambda line: None,
) -> LearnedPhotos:
    """Judge every way on held-out photos, and let the network learn from all photos by the best.

    course: of the photos among these pictures, where they were looked at before.
    """
    backgrounds = bundle.manifest.networks[NetworkName.PHOTO].backgrounds
    photos = pictures.take(pictures.is_kind(PictureKind.PLAIN, PictureKind.BUSY))
    if not enough(photos, config):
        choice = choose(np.zeros(0, np.int64), {"base": _nobody()}, doubt_max=config.doubt_max)
        return LearnedPhotos(
            opened=None, way=Way.BASE, backgrounds=backgrounds, choice=choice, rule=None
        )
    if course is None:
        say(f"looking at {len(photos)} photos with the photo network")
        course = course_of(bundle, photos, taxonomy, config)
    opened = course.opened
    truth = photos.truth(opened.labels)
    fold = folds_of(truth, config.folds, config.seed)
    words = {Way.BASE: out_of_fold(course, Way.BASE, fold)}
    for way in config.ways:
        say(f"photo network, {way}: learning {config.folds} times without a part")
        words[way] = out_of_fold(course, way, fold)
    today = said_today(photos, opened.labels, taxonomy)
    reduced = photos.reduced_words if opened.labels == bundle.manifest.labels else None
    offers = offered(photos, words, today, truth, judged(bundle, photos, backgrounds), reduced)
    choice = choose(truth, {name: _words(each.logits) for name, each in offers.items()},
                    doubt_max=config.doubt_max)  # fmt: skip
    untouched = LearnedPhotos(
        opened=opened, way=Way.BASE, backgrounds=backgrounds, choice=choice, rule=None
    )
    if choice.name == "base":
        return untouched
    chosen = offers[choice.name]
    said = words[chosen.way]
    if chosen.way is Way.HEAD:
        said = out_of_fold(course, Way.HEAD, folds_of(truth, config.head_folds, config.seed))
    evidence = Evidence(
        logits=said.scores[:, :-1],
        strangeness=strangeness_of(said.scores),
        truth=truth,
        accepted=photos.accepted,
    )
    if chosen.everywhere:
        backgrounds = Backgrounds.ANY
    mine = judged(bundle, photos, backgrounds)
    alone = mine & ~photos.is_kind(PictureKind.PLAIN) if chosen.share else mine
    rule = believed_alone(
        evidence.take(alone),
        bundle.manifest.networks[NetworkName.PHOTO],
        opened.labels,
        taxonomy,
        config.rule,
        known_min=config.busy_min if chosen.share else config.known_min,
    )
    mixture = None
    if chosen.share:
        mixture = believed_together(
            evidence, photos, chosen.share, rule, opened.labels, taxonomy, config.rule
        )
    if accepts_nothing_any_more(evidence.take(mine), rule, mixture):
        # Whoever teaches it must not get a longer queue.
        say(f"photo network, {choice.name}: nothing could be accepted of it, the bundle stays")
        return replace(untouched, choice=replace(choice, name="base"))
    say(f"photo network, {choice.name}: learning from all photos")
    learn(course, chosen.way, np.ones(len(photos), np.bool_))
    return LearnedPhotos(
        opened=opened,
        way=chosen.way,
        backgrounds=backgrounds,
        choice=choice,
        rule=rule,
        mixture=mixture,
        alike=_alike(opened, said, truth, rule),
    )


def course_of(
    bundle: Bundle, photos: ShopPictures, taxonomy: Taxonomy, config: PhotoAdaptConfig
) -> Course:
    """Open the bundle's photo network, and look at all photos, which is most of the work."""
    opened = open_network(bundle.part(NetworkName.PHOTO), taxonomy, set(photos.names))
    shown = photos.for_photo_network(opened.labels)
    return prepare(opened, shown, config.head, config.tuning, config.seed)


def believed_alone(
    found: Evidence,
    network: Network,
    labels: tuple[str, ...],
    taxonomy: Taxonomy,
    config: PhotoRuleConfig,
    *,
    known_min: int,
) -> FittedRule:
    """The rule for the photos that the photo network judges alone, `found` those among these.

    The network's own where fewer than `known_min` of them belong to a category: photos of other
    kinds say nothing of these, and of the photos that it remembers the network says what it said.
    """
    if int((found.truth >= 0).sum()) < known_min:
        return own_rule(network)
    return proved_rule(found, labels, taxonomy, config)


def believed_together(
    found: Evidence,
    photos: ShopPictures,
    share: float,
    alone: FittedRule,
    labels: tuple[str, ...],
    taxonomy: Taxonomy,
    config: PhotoRuleConfig,
) -> AdaptedMixture:
    """How both networks judge photos on plain backgrounds, and by what rule.

    found: of all photos, by the photo network; alone: its rule, whose temperature it speaks at.
    """
    both = mixed_logits(found.logits, found.truth, photos.reduced_words, share)
    plain = photos.is_kind(PictureKind.PLAIN)
    mixed = replace(found, logits=both).take(plain)
    mixture = adapted_mixture(mixed, share, labels, taxonomy, config)
    return mixture.beside(alone.rule.temperature, known_temperature(found.logits, found.truth))


def accepts_nothing_any_more(
    found: Evidence, rule: FittedRule, mixture: AdaptedMixture | None
) -> bool:
    """Whether a network would accept none of the photos of which the bundle accepts some."""
    fitted = [rule, mixture.fitted] if mixture else [rule]
    accepted = [each.figures["accepted"] for each in fitted if each.figures]
    return bool(accepted) and not any(accepted) and bool(found.accepted.any())


def enough(photos: ShopPictures, config: PhotoAdaptConfig) -> bool:
    """Whether there is anything to learn from photos, and to judge it by."""
    names = {name for name in photos.names if name != NOT_IN_TAXONOMY}
    return int(photos.known.sum()) >= config.known_min and len(names) >= config.categories_min


def judged(bundle: Bundle, photos: ShopPictures, backgrounds: Backgrounds) -> NDArray[np.bool_]:
    """Which photos the photo network judges, bool (N,)."""
    if NetworkName.REDUCED not in bundle.parts or backgrounds is Backgrounds.ANY:
        return np.ones(len(photos), np.bool_)
    return photos.is_kind(PictureKind.BUSY)


def offered(
    photos: ShopPictures,
    words: Mapping[Way, Words],
    today: NDArray[np.int64],
    truth: NDArray[np.int64],
    mine: NDArray[np.bool_],
    reduced: NDArray[np.float32] | None,
) -> dict[str, Offer]:
    """All that may be chosen, by name; `base` is what the bundle says today, int64 (N,).

    mine: bool (N,), the photos that the photo network judges already; a way alone changes what is
    said of them, with EVERYWHERE in its name of all. reduced: float32 (N, C), logarithms of the
    28×28 network's confidences, where it can help: with TOGETHER in its name both judge photos on
    plain backgrounds.
    """
    count = next(iter(words.values())).scores.shape[1]
    said = np.eye(count, dtype=np.float32)[today]
    plain = photos.is_kind(PictureKind.PLAIN)
    found = {"base": Offer(way=Way.BASE, logits=said)}
    for way, each in words.items():
        logits = each.scores[:, :-1]
        if way is not Way.BASE and mine.any():
            mixed = np.where(mine[:, None], logits, said[:, :-1])
            found[way] = Offer(way=way, logits=mixed, everywhere=bool(mine.all()))
        if not mine.all():
            found[f"{way}{EVERYWHERE}"] = Offer(way=way, logits=logits, everywhere=True)
        if reduced is not None and reduced.shape[1] == count - 1 and plain.any():
            found[f"{way}{TOGETHER}"] = together(way, logits, truth, plain, reduced)
    return found


def together(
    way: Way,
    logits: NDArray[np.float32],
    truth: NDArray[np.int64],
    plain: NDArray[np.bool_],
    reduced: NDArray[np.float32],
) -> Offer:
    """Both networks on plain backgrounds, with that share of the 28×28 one that is right most."""
    offers = []
    for share in SHARES:
        both = mixed_logits(logits, truth, reduced, share)
        mixed = np.where(plain[:, None], both, logits)
        offers.append(Offer(way=way, logits=mixed, everywhere=True, share=share))
    return max(offers, key=lambda each: int((each.logits.argmax(axis=1) == truth).sum()))


def said_today(
    photos: ShopPictures, labels: tuple[str, ...], taxonomy: Taxonomy
) -> NDArray[np.int64]:
    """The place of what the bundle calls each photo, int64 (N,); C where that is no label."""
    told = taxonomy.replaces.categories if taxonomy.replaces is not None else {}
    found = []
    for said in photos.said:
        now = told.get(said, (said,))
        found.append(labels.index(now[0]) if len(now) == 1 and now[0] in labels else len(labels))
    return np.array(found, np.int64)


def facts_of(learned: LearnedPhotos) -> dict[str, Any]:
    """What was seen on held-out photos, for the manifest and for people."""
    return {
        "chosen": learned.choice.name,
        "held_out": {
            name: {
                "accuracy": each.accuracy,
                "better": each.better,
                "worse": each.worse,
                "doubt": each.doubt,
            }
            for name, each in learned.choice.comparisons.items()
        },
        "rule": dict(learned.rule.figures) if learned.rule else None,
        "rule_together": dict(learned.mixture.fitted.figures) if learned.mixture else None,
    }


def _alike(opened: OpenedNetwork, said: Words, truth: NDArray[np.int64], rule: FittedRule) -> Alike:
    stranger = STRANGER_SCALE * said.scores[:, -1:]
    seen = Seen(
        embeddings=np.concatenate([opened.looks_of(said.features), stranger], axis=1),
        truth=truth,
        confidences=softmax(said.scores[:, :-1], rule.rule.temperature),
        network=said.network,
    )
    return fit_alike(seen, opened.labels)


def _words(logits: NDArray[np.floating]) -> OutOfFold:
    found = np.asarray(logits, np.float32)
    return OutOfFold(logits=found, strangeness=np.zeros(len(found), np.float32))


def _nobody() -> OutOfFold:
    return _words(np.zeros((0, 2)))
