"""From what was seen to outcomes: classify, judge, explain. Nothing is stored here."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from catalog.acceptance import flag_reasons
from catalog.certainty import certain_at
from catalog.images.network_input import InputKind
from catalog.images.overlay import encode_jpeg, grad_cam, overlay
from catalog.jobs import Job
from catalog.networks import PictureKind
from catalog.outcomes import Failure, FlagReason, Outcome, ShadowOpinion, Tagging
from worker.tagging.lineup import Judge, Lineup, Prediction, predict
from worker.tagging.looking import Fetch, Looker, Seen
from worker.tagging.stages import StageClock


class Tagger:
    """Tags batches; one for each process. It keeps nothing from one batch to the next."""

    def __init__(self, *, looker: Looker, threads: ThreadPoolExecutor, clock: StageClock) -> None:
        self._looker = looker
        self._threads = threads
        self._clock = clock

    def tag_batch(
        self, jobs: Sequence[Job], lineup: Lineup, fetch: Fetch, patience_s: Sequence[float] = ()
    ) -> list[Outcome]:
        """What became of each job, in order; one bad image fails that image only.

        patience_s: how long to wait for each remote picture when nothing else comes.
        """

        def wanted(job: Job, kind: PictureKind) -> list[InputKind]:
            judges = (
                lineup.judge_of(job.product_id, kind=kind),
                lineup.shadow_of(job.product_id, kind=kind),
            )
            return [kind for judge in judges if judge for kind in judge.kinds]

        seen = self._looker.look_at_all(jobs, wanted, fetch, patience_s)
        judges: list[Judge | None] = []
        shadows: list[Judge | None] = []
        for job, each in zip(jobs, seen, strict=True):
            kind = each.kind if isinstance(each, Seen) else PictureKind.REDUCED
            judges.append(lineup.judge_of(job.product_id, kind=kind))
            shadows.append(lineup.shadow_of(job.product_id, kind=kind))
        predictions = self._predict("cnn", judges, seen)
        opinions: list[Prediction | None] = [None] * len(jobs)
        if any(shadows):
            opinions = self._predict("shadow", shadows, seen)
        return list(self._threads.map(self._outcome, jobs, seen, predictions, opinions))

    def _predict(
        self, stage: str, judges: Sequence[Judge | None], seen: Sequence[Seen | Failure]
    ) -> list[Prediction | None]:
        """In one of the threads, which give way where they should: not in the one that writes."""

        inputs = [each.inputs if isinstance(each, Seen) else None for each in seen]

        def run() -> list[Prediction | None]:
            with self._clock.time(stage):
                return predict(judges, inputs)

        return self._threads.submit(run).result()

    def _outcome(
        self,
        job: Job,
        seen: Seen | Failure,
        prediction: Prediction | None,
        opinion: Prediction | None,
    ) -> Outcome:
        """Make a model's prediction a tagging; a failure stays what it is."""
        if isinstance(seen, Failure):
            return Outcome(subject=job.product_id, job=job, result=seen)
        assert prediction is not None
        return Outcome(
            subject=job.product_id,
            job=job,
            result=self._tagging(job, seen, prediction),
            shadow=_opinion(job, seen, opinion) if opinion else None,
            image_validator=seen.validator,
        )

    def _tagging(self, job: Job, seen: Seen, prediction: Prediction) -> Tagging:
        labels, confidences = prediction.labels, prediction.confidences
        best, second = (int(index) for index in np.argsort(-confidences, kind="stable")[:2])
        reasons = _reasons(job, seen, prediction)
        class_map = prediction.class_map
        with self._clock.time("overlay"):
            jpeg = encode_jpeg(overlay(seen.view, grad_cam(class_map[:, :, best])))
        return Tagging(
            label=labels[best],
            confidence=float(confidences[best]),
            confidences=tuple(round(float(each), 6) for each in confidences),
            runner_up=labels[second],
            runner_up_confidence=float(confidences[second]),
            out_of_taxonomy_score=prediction.out_of_taxonomy_score,
            model_version=prediction.judge.manifest.model_version,
            network=prediction.judge.rule.network,
            image_sha256=seen.image_sha256,
            photo_temperature=prediction.judge.rule.photo_temperature,
            reasons=reasons,
            certain_at=certain_at(
                prediction.judge.rule,
                labels,
                prediction.judge.manifest.taxonomy,
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


def _opinion(job: Job, seen: Seen, prediction: Prediction) -> ShadowOpinion:
    confidences = prediction.confidences
    best = int(np.argmax(confidences))
    return ShadowOpinion(
        label=prediction.labels[best],
        confidence=float(confidences[best]),
        out_of_taxonomy_score=prediction.out_of_taxonomy_score,
        model_version=prediction.judge.manifest.model_version,
        image_sha256=seen.image_sha256,
        reasons=_reasons(job, seen, prediction),
    )


def _reasons(job: Job, seen: Seen, prediction: Prediction) -> tuple[FlagReason, ...]:
    """Why a person should look at it, by the rule in force for the network that spoke."""
    return flag_reasons(
        prediction.judge.rule,
        prediction.labels,
        prediction.confidences,
        strangeness=prediction.out_of_taxonomy_score,
        poor=seen.inputs[prediction.judge.kind].poor is not None,
        declared=job.declared_label,
        product_id=job.product_id,
        taxonomy=prediction.judge.manifest.taxonomy,
    )
