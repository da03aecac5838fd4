"""From what was seen to outcomes: classify, judge, explain. Nothing is stored here."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from catalog.acceptance import NO_AUDIT, AuditShares, Rule, flag_reasons, rule_for
from catalog.certainty import certain_at
from catalog.images.overlay import encode_jpeg, grad_cam, overlay
from catalog.jobs import Job
from catalog.outcomes import Failure, FlagReason, Outcome, ShadowOpinion, Tagging
from worker.tagging.lineup import Image, Lineup, Prediction
from worker.tagging.looking import Fetch, Looker, Seen
from worker.tagging.stages import StageClock


class Tagger:
    """Tags batches; one for each process. It keeps nothing from one batch to the next."""

    def __init__(
        self, *, looker: Looker, threads: ThreadPoolExecutor, audit: AuditShares, clock: StageClock
    ) -> None:
        self._looker = looker
        self._threads = threads
        self._audit = audit
        self._clock = clock

    def tag_batch(
        self, jobs: Sequence[Job], lineup: Lineup, fetch: Fetch, patience_s: Sequence[float] = ()
    ) -> list[Outcome]:
        """What became of each job, in order; one bad image fails that image only.

        patience_s: how long to wait for each remote picture when nothing else comes.
        """
        seen = self._looker.look_at_all(jobs, fetch, patience_s)
        ids = [job.product_id for job in jobs]
        images = [each.reduced.pixels if isinstance(each, Seen) else None for each in seen]
        with self._clock.time("cnn"):
            predictions = lineup.predict(ids, images)
        shadows = self._of_shadow(lineup, ids, images)
        judging = _Judging(lineup=lineup, audit=self._audit, clock=self._clock)
        return list(self._threads.map(judging.outcome, jobs, seen, predictions, shadows))

    def _of_shadow(
        self, lineup: Lineup, product_ids: list[str], images: list[Image]
    ) -> list[Prediction | None]:
        if lineup.shadow is None:
            return [None] * len(images)
        with self._clock.time("shadow"):
            return lineup.predict_as_shadow(product_ids, images)


@dataclass(frozen=True, kw_only=True)
class _Judging:
    """Turns one batch's predictions into outcomes, under the rules of one lineup."""

    lineup: Lineup
    audit: AuditShares
    clock: StageClock

    def outcome(
        self,
        job: Job,
        seen: Seen | Failure,
        prediction: Prediction | None,
        shadow: Prediction | None,
    ) -> Outcome:
        """Make a model's prediction a tagging; a failure stays what it is."""
        if isinstance(seen, Failure):
            return Outcome(subject=job.product_id, job=job, result=seen)
        assert prediction is not None
        return Outcome(
            subject=job.product_id,
            job=job,
            result=self._tagging(job, seen, prediction),
            shadow=self._opinion(job, seen, shadow) if shadow else None,
            image_validator=seen.validator,
        )

    def _tagging(self, job: Job, seen: Seen, prediction: Prediction) -> Tagging:
        manifest = prediction.manifest
        rule = self._rule(seen, prediction, self.audit)
        confidences = prediction.under(rule)
        best, second = (int(index) for index in np.argsort(-confidences, kind="stable")[:2])
        reasons = _reasons(job, seen, prediction, rule, confidences)
        class_map = prediction.class_map
        with self.clock.time("overlay"):
            jpeg = encode_jpeg(overlay(seen.view, grad_cam(class_map[:, :, best])))
        return Tagging(
            label=manifest.labels[best],
            confidence=float(confidences[best]),
            confidences=tuple(round(float(each), 6) for each in confidences),
            runner_up=manifest.labels[second],
            runner_up_confidence=float(confidences[second]),
            out_of_taxonomy_score=prediction.out_of_taxonomy_score,
            model_version=manifest.model_version,
            image_sha256=seen.image_sha256,
            photo_temperature=rule.photo_temperature,
            reasons=reasons,
            certain_at=certain_at(
                rule,
                manifest.labels,
                manifest.taxonomy,
                confidences,
                reasons=reasons,
                declared=job.declared_label,
            ),
            overlay_jpeg=jpeg,
            class_map=class_map.astype(np.float16).tobytes(),
            class_map_height=class_map.shape[0],
            class_map_width=class_map.shape[1],
            embedding=prediction.embedding.astype(np.float16).tobytes(),
        )

    def _opinion(self, job: Job, seen: Seen, prediction: Prediction) -> ShadowOpinion:
        # Nobody audits a shadow: what it says is not shown to anyone.
        rule = self._rule(seen, prediction, NO_AUDIT)
        confidences = prediction.under(rule)
        best = int(np.argmax(confidences))
        return ShadowOpinion(
            label=prediction.manifest.labels[best],
            confidence=float(confidences[best]),
            out_of_taxonomy_score=prediction.out_of_taxonomy_score,
            model_version=prediction.manifest.model_version,
            image_sha256=seen.image_sha256,
            reasons=_reasons(job, seen, prediction, rule, confidences),
        )

    def _rule(self, seen: Seen, prediction: Prediction, audit: AuditShares) -> Rule:
        return rule_for(
            prediction.manifest,
            photo=seen.reduced.is_photo,
            earned=self.lineup.earned.get(prediction.manifest.model_version),
            audit=audit,
        )


def _reasons(
    job: Job, seen: Seen, prediction: Prediction, rule: Rule, confidences: NDArray[np.float32]
) -> tuple[FlagReason, ...]:
    """Why a person should look at it, by the rule in force for the model that spoke."""
    return flag_reasons(
        rule,
        prediction.manifest.labels,
        confidences,
        strangeness=prediction.out_of_taxonomy_score,
        poor=seen.reduced.poor is not None,
        declared=job.declared_label,
        product_id=job.product_id,
        taxonomy=prediction.manifest.taxonomy,
    )
