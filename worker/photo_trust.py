"""What the photos of the model in service have earned: read from the database, put in force."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from sqlalchemy.orm import Session

from catalog.acceptance import EARNING, NEVER, Rule, rule_for
from catalog.bundle import Manifest
from catalog.networks import PhotoRule
from catalog.photo_trust import REVIEWS_MIN, Evidence, Verdict, evidence, verdict
from catalog.statistics import TINY, fit_temperature
from db.registry import photo_trust as trust
from db.registry.photo_trust import Stream
from db.registry.photo_trust_models import EarnedTrust


@dataclass(frozen=True, kw_only=True)
class ClassTrust:
    """One class of photos: the rule in force, and what the reviews say of it today.

    state: cautious (the bundle's rule), trusted (earned), or withdrawn (nothing is accepted).
    in_force: what is known at the confidence from which photos are accepted now; verdict: what
    `tagger recalibrate` would decide.
    """

    label: str
    state: str
    confidence_min: float
    in_force: Evidence
    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class Trust:
    """All classes of one model version. temperature in force, and the one that the reviews fit."""

    model_version: str
    photos: int
    reviewed: int
    temperature: float
    fitted_temperature: float | None
    precision: float
    level: float
    classes: Sequence[ClassTrust]


def assess(session: Session, manifest: Manifest) -> Trust:
    """What is in force for photos of this model version, and what its reviews add up to."""
    version = manifest.model_version
    in_force = trust.earned(session).get(version)
    rule = rule_for(manifest, kind=EARNING, earned=in_force)
    assert rule.photo_temperature is not None
    seen = trust.stream(
        session, version, manifest.labels, rule.photo_temperature, network=rule.network
    )
    decided = trust.decisions(session, version)
    fitted = fitted_temperature(seen)
    # What recalibrate would decide, it decides at the temperature that it would put in force.
    then = seen if fitted is None else seen.at(max(fitted, _cautious(manifest).temperature))
    return Trust(
        model_version=version,
        photos=len(seen),
        reviewed=int(seen.reviewed.sum()),
        temperature=rule.photo_temperature,
        fitted_temperature=fitted,
        precision=precision_of(manifest),
        level=_cautious(manifest).acceptance.guarantee_level,
        classes=[
            _class_trust(manifest, rule, seen, then, decided, place)
            for place in range(len(manifest.labels))
        ],
    )


def recalibrate(session: Session, manifest: Manifest) -> Trust:
    """Put in force what the reviews have earned; the caller commits."""
    found = assess(session, manifest)
    temperature = _cautious(manifest).temperature
    if found.fitted_temperature is not None:
        # Never surer than the bundle itself: its cautious thresholds were chosen for that.
        temperature = max(temperature, found.fitted_temperature)
    trust.put_in_force(
        session,
        manifest.model_version,
        [each.verdict for each in found.classes],
        temperature=temperature,
        level=found.level,
        now=datetime.now(UTC),
    )
    return assess(session, manifest)


def _cautious(manifest: Manifest) -> PhotoRule:
    """The rule before anything is earned, of the network whose trust is at stake."""
    return manifest.photo_rule_of(manifest.judge_of(EARNING), EARNING)


def precision_of(manifest: Manifest) -> float:
    """What is promised of the accepted photos of a single class."""
    acceptance = manifest.networks[manifest.judge_of(EARNING)].acceptance
    return acceptance.class_precision or acceptance.precision


def fitted_temperature(seen: Stream) -> float | None:
    """The temperature that the reviewed photos of the ten classes fit; None of too few."""
    known = seen.reviewed & (seen.truth >= 0)
    if known.sum() < REVIEWS_MIN:
        return None
    logs = np.log(np.maximum(seen.confidences[known], TINY))
    return seen.temperature * fit_temperature(logs, seen.truth[known], seen.weights[known])


def _class_trust(
    manifest: Manifest,
    rule: Rule,
    seen: Stream,
    then: Stream,
    decided: Mapping[str, EarnedTrust],
    place: int,
) -> ClassTrust:
    label = manifest.labels[place]
    least = rule.acceptance.confidence_min.get(label, NEVER)
    level = _cautious(manifest).acceptance.guarantee_level
    row = decided.get(label)
    state = "cautious"
    if row is not None and row.confidence_min is not None:
        state = "trusted" if row.confidence_min < NEVER else "withdrawn"
    return ClassTrust(
        label=label,
        state=state,
        confidence_min=least,
        in_force=evidence(seen.of_class(place), least, level),
        verdict=verdict(
            label,
            then.of_class(place),
            now_from=float(np.minimum(least, 1.0)),
            precision=precision_of(manifest),
            level=level,
        ),
    )
