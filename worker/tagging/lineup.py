"""The models of one process: the one that serves, and those that are being tried out beside it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from catalog.acceptance import NO_AUDIT, AuditShares, Earned, Rule, rule_for
from catalog.bundle import Manifest
from catalog.images.network_input import InputKind, NetworkInput
from catalog.networks import PictureKind
from catalog.sampling import drawn
from catalog.statistics import at_temperature, mixed
from worker.tagging.classifier import Classifier, Predictions, ServingNetwork


@dataclass(frozen=True, kw_only=True)
class Judge:
    """The network of one bundle that judges a picture, and the rule that it is judged by.

    helper: a 28×28 network, where the rule mixes its word with the photo network's.
    """

    manifest: Manifest
    network: ServingNetwork
    rule: Rule
    helper: ServingNetwork | None = None

    @property
    def kind(self) -> InputKind:
        """What the network takes."""
        return self.network.kind

    @property
    def kinds(self) -> list[InputKind]:
        """What all that have a word take, the network's own first."""
        return [each.kind for each in (self.network, self.helper) if each is not None]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A candidate and its share of the products, 0-1."""

    classifier: Classifier
    share: float


@dataclass(frozen=True, kw_only=True)
class Lineup:
    """Never changed, only replaced between two batches: all of a batch sees one lineup.

    earned: what photos have earned, by model version. audit: what people look at anyway.
    """

    serving: Classifier
    canary: Trial | None = None
    shadow: Trial | None = None
    earned: Mapping[str, Earned] = field(default_factory=dict)
    audit: AuditShares = NO_AUDIT

    def judge_of(self, product_id: str, *, kind: PictureKind) -> Judge:
        """Whose word is to be current of a picture; the same model's for the same product."""
        tried = self.canary and drawn(product_id, self.canary.share, purpose=b"canary\0")
        return self._judges["canary" if tried else "serving", kind]

    def shadow_of(self, product_id: str, *, kind: PictureKind) -> Judge | None:
        """Who else looks at a picture, if it is in the shadow's share."""
        if self.shadow and drawn(product_id, self.shadow.share, purpose=b"shadow\0"):
            return self._judges["shadow", kind]
        return None

    @cached_property
    def _judges(self) -> Mapping[tuple[str, PictureKind], Judge]:
        """By role and kind of picture: decided once for all of a batch."""
        # Nobody audits a shadow: what it says is not shown to anyone.
        roles = [("serving", self.serving, self.audit)]
        roles += [("canary", self.canary.classifier, self.audit)] if self.canary else []
        roles += [("shadow", self.shadow.classifier, NO_AUDIT)] if self.shadow else []
        return {
            (role, kind): self._judge(classifier, kind, audit)
            for role, classifier, audit in roles
            for kind in PictureKind
        }

    def _judge(self, classifier: Classifier, kind: PictureKind, audit: AuditShares) -> Judge:
        manifest = classifier.manifest
        earned = self.earned.get(manifest.model_version)
        rule = rule_for(manifest, kind=kind, earned=earned, audit=audit)
        helper = manifest.helper if rule.mixture else None
        return Judge(
            manifest=manifest,
            network=classifier.networks[rule.network],
            rule=rule,
            helper=classifier.networks[helper] if helper else None,
        )

    @property
    def manifests(self) -> tuple[Manifest, ...]:
        """Of all its models, the serving one first."""
        trials = (each.classifier.manifest for each in (self.canary, self.shadow) if each)
        return (self.serving.manifest, *trials)


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What one network says of one picture: a row of its predictions, and the rule for it.

    helped: the helper's confidences, float32 (classes,), where there is one.
    """

    judge: Judge
    predictions: Predictions
    row: int
    helped: NDArray[np.float32] | None = None

    @property
    def labels(self) -> Sequence[str]:
        """Of the classes, in the order of the confidences."""
        return self.judge.manifest.labels

    @cached_property
    def confidences(self) -> NDArray[np.float32]:
        """float32 (classes,), as the rule wants them: those of photos at its own temperature."""
        found, mixture = self.predictions.confidences[self.row], self.judge.rule.mixture
        if mixture is not None and self.helped is not None:
            found = mixed(found, mixture.photo_weight, self.helped, mixture.reduced_weight)
        wanted = self.judge.rule.photo_temperature
        if wanted is None:
            return np.asarray(found)
        return at_temperature(found, self.judge.network.network.temperature, wanted)

    @property
    def class_map(self) -> NDArray[np.float32]:
        """float32 (h, w, classes)."""
        return np.asarray(self.predictions.class_maps[self.row])

    @property
    def embedding(self) -> NDArray[np.float32]:
        """float32 (d,)."""
        return np.asarray(self.predictions.embedding[self.row])

    @property
    def out_of_taxonomy_score(self) -> float:
        """Higher is stranger."""
        return float(self.predictions.out_of_taxonomy[self.row])


def predict(
    judges: Sequence[Judge | None], inputs: Sequence[Mapping[InputKind, NetworkInput] | None]
) -> list[Prediction | None]:
    """What each picture's own judge says of it, in one batch for each network.

    None where there is no judge or no picture.
    """
    words: dict[ServingNetwork, Words] = {}
    for network, places in _wanted(judges, inputs).items():
        mine = [found[network.kind].pixels for place in places if (found := inputs[place])]
        rows = {place: row for row, place in enumerate(places)}
        words[network] = Words(predictions=network.classify(np.stack(mine)), rows=rows)
    return [
        _prediction(judge, place, words) if judge is not None and found is not None else None
        for place, (judge, found) in enumerate(zip(judges, inputs, strict=True))
    ]


@dataclass(frozen=True, kw_only=True)
class Words:
    """What one network says of a batch; rows: of each picture's place in it."""

    predictions: Predictions
    rows: Mapping[int, int]


def _wanted(
    judges: Sequence[Judge | None], inputs: Sequence[Mapping[InputKind, NetworkInput] | None]
) -> dict[ServingNetwork, list[int]]:
    """The places of the pictures that each network is to see."""
    places: dict[ServingNetwork, list[int]] = defaultdict(list)
    for place, (judge, found) in enumerate(zip(judges, inputs, strict=True)):
        if judge is not None and found is not None:
            for network in (judge.network, judge.helper):
                if network is not None:
                    places[network].append(place)
    return places


def _prediction(judge: Judge, place: int, words: Mapping[ServingNetwork, Words]) -> Prediction:
    helped = None
    if judge.helper is not None:
        theirs = words[judge.helper]
        helped = theirs.predictions.confidences[theirs.rows[place]]
    mine = words[judge.network]
    return Prediction(
        judge=judge, predictions=mine.predictions, row=mine.rows[place], helped=helped
    )
