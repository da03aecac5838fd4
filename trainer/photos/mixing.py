"""How much a 28×28 network's word counts beside the photo network's, on plain backgrounds.

Photos on a plain background are what the 28×28 network was made for, and what a list of photos
taken at home hardly has. The judges are such photos all the same: those of the list cut out onto
white, each judged by a photo network that was not shown its group, and held-out Fashion-MNIST
pictures dressed up as photos for the categories that no photo surely shows.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from catalog.bundle import Part
from catalog.images.model_input import model_input
from catalog.statistics import TINY, softmax
from catalog.taxonomy.model import Taxonomy
from trainer.helping import helpers_confidences
from trainer.level_acceptance import with_parents
from trainer.photo_rule import FittedRule, PhotoRuleConfig, fit_photo_rule
from trainer.photos.cross_fitting import OutOfFold
from trainer.photos.data import PhotoSet
from trainer.photos.garments import Garments, dressed_on_white
from trainer.photos.network import predict
from trainer.photos.recipe import PhotoRecipe
from trainer.photos.rule import labels_in_view, strangeness_of
from trainer.photos.training import COUNTED_MIN, inputs
from trainer.photos.variation import has_mask, on_white
from trainer.serving_model import ServingModel

# Dressed pictures of each category that the photos do not surely show.
DRESSED = 150
# Of the 28×28 network, and what the evidence may lose for what it cannot show, 0-1: cut out at home
# the 28×28 network is right on two of three, of shops' pictures it knows eight of ten.
SHARES = tuple(tenths / 10 for tenths in range(11))
LOSS_MAX = 0.02
# Cut-outs and dressed pictures promise more than shops' photos keep, and much of what lies on plain
# backgrounds is no category at all, of kinds that no photo at hand shows. So this rule asks for
# 99 %, about as much as the evidence can prove, and leaves the stranger three tenths of the known
# to people, as the 28×28 network's own rule for photos does.
PLAIN_PROMISE = PhotoRuleConfig(precision=0.99, class_precision=0.9, false_alarms=(0.3,))


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What both networks say of N plain photos, none of which either was shown.

    reduced: float64 (N, C), the 28×28 network's confidences. scores: float32 (N, C + 1), the photo
    network's. targets: bool (N, C + 1).
    """

    reduced: NDArray[np.float64]
    scores: NDArray[np.float32]
    targets: NDArray[np.bool_]

    def __add__(self, other: "Evidence") -> "Evidence":
        return Evidence(
            reduced=np.concatenate([self.reduced, other.reduced]),
            scores=np.concatenate([self.scores, other.scores]),
            targets=np.concatenate([self.targets, other.targets]),
        )


@dataclass(frozen=True, kw_only=True)
class FittedMixture:
    """Powers of both networks' confidences, and the rule for their product.

    share: of the 28×28 network, 0-1. right: of the evidence, 0-1, every category counting alike, at
    each of SHARES; at 0 the photo network speaks alone, at 1 the other one.
    """

    reduced_weight: float
    photo_weight: float
    rule: FittedRule
    share: float
    right: Mapping[float, float]

    @property
    def fields(self) -> dict[str, Any]:
        """As the manifest holds it."""
        rule = self.rule.rule
        return {
            "reduced_weight": self.reduced_weight,
            "photo_weight": self.photo_weight,
            "acceptance": asdict(rule.acceptance),
            "out_of_taxonomy_threshold": rule.out_of_taxonomy_threshold,
        }


def gather(
    helper: Part,
    photos: PhotoSet,
    found: OutOfFold,
    held_out: Garments | None,
    network: keras.Model,
    recipe: PhotoRecipe,
) -> Evidence:
    """Photos cut out onto white, out of fold, and dressed pictures for what they lack.

    helper: the 28×28 network. network: trained on all photos; it was shown no picture of
    `held_out`.
    """
    cut = has_mask(photos)
    judge = ServingModel(helper.serving_model)
    white = on_white(photos.take(cut))
    evidence = Evidence(
        reduced=_reduced(helper, judge, white),
        scores=found.on_white[cut],
        targets=white.targets,
    )
    scarce = np.flatnonzero(_sure(photos) < COUNTED_MIN)
    if held_out is None or not len(scarce):
        return evidence
    dressed = dressed_on_white(held_out, photos, scarce, DRESSED, seed=recipe.seed)
    return evidence + Evidence(
        reduced=_reduced(helper, judge, dressed),
        scores=predict(network, inputs(dressed, recipe)),
        targets=dressed.targets,
    )


def fit_mixture(evidence: Evidence, temperature: float, taxonomy: Taxonomy) -> FittedMixture:
    """The powers, and the rule at them. temperature: the photo network's own.

    The 28×28 network gets the largest share that costs little of what is right on the evidence,
    every category counting alike: it knows shops' pictures, which the evidence only imitates.
    """
    photo = softmax(evidence.scores[:, :-1], temperature)
    logs = [np.log(np.maximum(each, TINY)) for each in (evidence.reduced, photo)]
    mixed = {share: share * logs[0] + (1 - share) * logs[1] for share in SHARES}
    right = {share: _right(each, evidence.targets) for share, each in mixed.items()}
    share = max(each for each in SHARES if right[each] >= max(right.values()) - LOSS_MAX)
    logits = np.asarray(mixed[share], np.float32)
    fitted = _plain_rule(logits, evidence, taxonomy)
    scale = 1 / fitted.rule.temperature  # the powers take the temperature in
    return FittedMixture(
        reduced_weight=scale * share,
        photo_weight=scale * (1 - share),
        rule=replace(fitted, rule=replace(fitted.rule, temperature=1.0)),
        right=right,
        share=share,
    )


def _plain_rule(logits: NDArray[np.float32], evidence: Evidence, taxonomy: Taxonomy) -> FittedRule:
    """Strangeness by itself, since the evidence hardly shows strangers; then confidences."""
    truth, strangeness = labels_in_view(logits, evidence.targets), strangeness_of(evidence.scores)
    fitted = fit_photo_rule(logits, truth, strangeness, PLAIN_PROMISE, taxonomy.ids)
    rule = with_parents(fitted.rule, logits, truth, strangeness, taxonomy.ids, taxonomy)
    return replace(fitted, rule=rule)


def _right(logits: NDArray[np.floating], targets: NDArray[np.bool_]) -> float:
    """The share of photos that get a label that they may have, every category counting alike."""
    truth = labels_in_view(np.asarray(logits, np.float32), targets)
    named = logits.argmax(axis=1) == truth
    return float(np.mean([named[truth == label].mean() for label in np.unique(truth[truth >= 0])]))


def _reduced(helper: Part, judge: ServingModel, photos: PhotoSet) -> NDArray[np.float64]:
    images = np.stack([model_input(photo).pixels for photo in photos.pixels])
    return helpers_confidences(helper, judge, images)


def _sure(photos: PhotoSet) -> NDArray[np.int64]:
    """How many photos surely show each category, int64 (C,)."""
    return np.asarray(photos.targets[photos.targets.sum(axis=1) == 1].sum(axis=0)[:-1], np.int64)
