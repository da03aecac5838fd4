"""The rule for photos, fitted on corrections that the network was not shown."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalog.acceptance import flags, least_confidences
from catalog.networks import Acceptance, PhotoRule
from catalog.out_of_taxonomy import unit
from catalog.statistics import error_at_most, fit_temperature, softmax
from trainer.acceptance import fit_acceptance
from trainer.fashion_mnist.classes import LABELS
from trainer.fashion_mnist.dataset import Split
from trainer.shop_photos import ShopPhotos
from trainer.strangeness import separation

NEIGHBOURS = 3
Embed = Callable[[NDArray[np.uint8]], NDArray[np.float32]]  # images → embedding (N, d)
# Fashion-MNIST images in the bank of the known, beside the shop's.
GARMENTS = 2_000


@dataclass(frozen=True, kw_only=True)
class PhotoRuleConfig:
    """What is promised of accepted photos, and which shares of known ones may be called strange.

    A few hundred corrections cannot prove much of a single class: `class_precision` keeps a class
    out that has shown hardly anything. More is earned from the shop's reviews (`tagger trust`).
    """

    precision: float = 0.97
    class_precision: float = 0.8
    guarantee_level: float = 0.95
    false_alarms: tuple[float, ...] = (0.05,)


@dataclass(frozen=True, kw_only=True)
class FittedRule:
    """A rule and what it does on the photos that it was fitted on, each judged out of fold."""

    rule: PhotoRule
    figures: Mapping[str, Any]


def banks(embed: Embed, photos: ShopPhotos, garments: Split) -> dict[str, NDArray[Any]]:
    """What the score two_banks needs, from a shop's photos and Fashion-MNIST garments."""
    embedding = unit(embed(photos.images))
    known = unit(embed(garments.images[:GARMENTS]))
    return {
        "bank": np.concatenate([embedding[photos.known], known]).astype(np.float16),
        "strange_bank": embedding[~photos.known].astype(np.float16),
        "neighbours": np.array(NEIGHBOURS),
    }


def fit_photo_rule(
    logits: NDArray[np.float32],
    truth: NDArray[np.int64],
    strangeness: NDArray[np.float32],
    config: PhotoRuleConfig,
    labels: Sequence[str] = LABELS,
) -> FittedRule:
    """Temperature, strangeness threshold and acceptance from photos held out of the training.

    logits float32 (N, classes) in the order of `labels`; truth int64 (N,), -1 for strangers, which
    are wrong when accepted; strangeness float32 (N,), higher is stranger. Flagged strangers count
    as not accepted. Of several shares of false alarms that one is taken whose rule accepts most;
    the doubt is shared between them (Bonferroni).
    """
    known = truth >= 0
    temperature = known_temperature(logits, truth)
    confidences = softmax(logits, temperature)
    level = 1 - (1 - config.guarantee_level) / len(config.false_alarms)
    fitted = []
    for share in config.false_alarms:
        threshold = float(np.quantile(strangeness[known], 1 - share))
        familiar = strangeness <= threshold
        least = fit_acceptance(
            confidences[familiar],
            truth[familiar],
            precision=config.precision,
            class_precision=config.class_precision,
            level=level,
        )
        rule = PhotoRule(
            temperature=temperature,
            acceptance=Acceptance(
                confidence_min=dict(zip(labels, map(float, least), strict=True)),
                precision=config.precision,
                class_precision=config.class_precision,
                guarantee_level=config.guarantee_level,
            ),
            out_of_taxonomy_threshold=threshold,
        )
        figures = rule_figures(rule, labels, confidences, truth, strangeness)
        fitted.append(FittedRule(rule=rule, figures=figures))
    return max(fitted, key=lambda each: float(each.figures["accepted_coverage"]))


def known_temperature(logits: NDArray[np.float32], truth: NDArray[np.int64]) -> float:
    """The temperature that fits photos of categories."""
    known = truth >= 0
    return fit_temperature(logits[known], truth[known])


def rule_figures(
    rule: PhotoRule,
    labels: Sequence[str],
    confidences: NDArray[np.float64],
    truth: NDArray[np.int64],
    strangeness: NDArray[np.float32],
) -> dict[str, Any]:
    """How many photos a rule accepts, and how many of these are right."""
    predicted, known = confidences.argmax(axis=1), truth >= 0
    accepted = flags(rule, labels, confidences, strangeness=strangeness).accepted
    least = least_confidences(rule.acceptance, labels)
    wrong = int((accepted & (predicted != truth)).sum())
    count = int(accepted.sum())
    both = known.any() and (~known).any()
    return {
        "photos": int(known.sum()),
        "accuracy": float((predicted == truth)[known].mean()),
        "accepted_coverage": float(accepted[known].mean()),
        "accepted": count,
        "accepted_wrong": wrong,
        "accepted_precision_at_least": 1
        - error_at_most(wrong, count, rule.acceptance.guarantee_level),
        "strangers": int((~known).sum()),
        "strangers_flagged": float((~accepted[~known]).mean()) if (~known).any() else None,
        "strangers_auroc": separation(strangeness[known], strangeness[~known]) if both else None,
        "classes_accepted": [
            label for label, value in zip(labels, least, strict=True) if value <= 1
        ],
    }
