"""From jobs to outcomes: fetch, decode, reduce, classify, explain. Nothing is stored here."""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from catalog.acceptance import NO_AUDIT, AuditShares, Earned, Rule, flag_reasons, rule_for
from catalog.failures import FailureCode, ImageFailure
from catalog.images.decode import DecodeLimits, decode
from catalog.images.model_input import ModelInput, model_input
from catalog.images.overlay import crop, encode_jpeg, grad_cam, overlay
from catalog.images.preprocessing import DECODE_PX
from catalog.jobs import Job
from catalog.outcomes import Failure, FlagReason, Outcome, ShadowOpinion, Tagging
from worker.tagging.classifier import Classifier
from worker.tagging.fetch_ahead import FetchAhead, is_remote
from worker.tagging.lineup import Image, Lineup, Prediction
from worker.tagging.stages import StageClock


@dataclass(frozen=True, kw_only=True)
class TaggingRules:
    """What the operator chose: see the settings of the same names."""

    thumbnail_size_px: int
    audit_share: float
    decode_limits: DecodeLimits
    cautious_audit_share: float = 0.0

    @property
    def audit(self) -> AuditShares:
        """Both shares."""
        return AuditShares(usual=self.audit_share, cautious=self.cautious_audit_share)


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """One photo, ready for the network: view is the square it saw, uint8 (size, size, 3) RGB."""

    image_sha256: str
    view: NDArray[np.uint8]
    reduced: ModelInput


class Tagger:
    """Tags batches; one for each process."""

    def __init__(
        self,
        classifier: Classifier,
        fetch: Callable[[str], bytes],
        pool: ThreadPoolExecutor,
        rules: TaggingRules,
        clock: StageClock,
    ) -> None:
        # Replaced between two batches, never during one; earned: by model version.
        self.lineup = Lineup(serving=classifier)
        self.earned: Mapping[str, Earned] = {}
        self._fetch = fetch
        # Fetches remote pictures; without it, the threads that decode do.
        self.ahead: FetchAhead | None = None
        self._pool = pool
        self._rules = rules
        self._clock = clock

    def tag_batch(self, jobs: Sequence[Job], patience_s: Sequence[float] = ()) -> list[Outcome]:
        """What became of each job, in order; one bad image fails that image only.

        patience_s: how long to wait for each remote picture when nothing else comes.
        """
        seen = self._look_at_all(jobs, patience_s)
        ids = [job.product_id for job in jobs]
        images = [each.reduced.pixels if isinstance(each, _Seen) else None for each in seen]
        lineup = self.lineup
        with self._clock.time("cnn"):
            words = lineup.predict(ids, images)
        shadows = self._shadow_words(lineup, ids, images)
        return list(self._pool.map(self._outcome, jobs, seen, words, shadows))

    def _shadow_words(
        self, lineup: Lineup, product_ids: list[str], images: list[Image]
    ) -> list[Prediction | None]:
        if lineup.shadow is None:
            return [None] * len(images)
        with self._clock.time("shadow"):
            return lineup.shadow_words(product_ids, images)

    def _look_at_all(
        self, jobs: Sequence[Job], patience_s: Sequence[float]
    ) -> list["_Seen | Failure"]:
        """Remote pictures are fetched all at once, and decoded in the order they come."""
        remote = {
            place: job.image_uri for place, job in enumerate(jobs) if is_remote(job.image_uri)
        }
        ahead = self.ahead
        if not remote or ahead is None:
            return list(self._pool.map(self._look, jobs))
        looks = {
            place: self._pool.submit(self._look, job)
            for place, job in enumerate(jobs)
            if place not in remote
        }
        patience = dict(enumerate(patience_s or [math.inf] * len(jobs)))
        for place, fetched in ahead.arrivals(remote, patience):
            looks[place] = self._pool.submit(self._look, jobs[place], fetched.result)
            looks[place].add_done_callback(lambda _: ahead.decoded())
        return [looks[place].result() for place in range(len(jobs))]

    def _look(self, job: Job, fetched: Callable[[], bytes] | None = None) -> _Seen | Failure:
        """Fetch, decode and reduce one photo."""
        try:
            with self._clock.time("read"):
                data = fetched() if fetched else self._fetch(job.image_uri)
            with self._clock.time("decode"):
                photo = decode(
                    data,
                    size_px_min=DECODE_PX,
                    limits=self._rules.decode_limits,
                )
            with self._clock.time("model input"):
                reduced = model_input(photo.pixels)
            with self._clock.time("overlay"):
                view = crop(photo.pixels, reduced.square, self._rules.thumbnail_size_px)
        except ImageFailure as failure:
            return Failure(
                code=failure.code, detail=failure.detail, retry_after_s=failure.retry_after_s
            )
        except Exception as error:
            return Failure(
                code=FailureCode.INTERNAL_ERROR, detail=f"{type(error).__name__}: {error}"
            )
        return _Seen(image_sha256=hashlib.sha256(data).hexdigest(), view=view, reduced=reduced)

    def _outcome(
        self, job: Job, seen: _Seen | Failure, word: Prediction | None, shadow: Prediction | None
    ) -> Outcome:
        """Turn a model's word into a tagging; a failure stays what it is."""
        if isinstance(seen, Failure):
            return Outcome(subject=job.product_id, job=job, result=seen)
        assert word is not None
        return Outcome(
            subject=job.product_id,
            job=job,
            result=self._tagging(job, seen, word),
            shadow=self._opinion(job, seen, shadow) if shadow else None,
        )

    def _tagging(self, job: Job, seen: _Seen, word: Prediction) -> Tagging:
        manifest = word.manifest
        rule = self._rule(seen, word, self._rules.audit)
        confidences = word.under(rule)
        best, second = (int(index) for index in np.argsort(-confidences, kind="stable")[:2])
        class_map = word.predictions.class_maps[word.row]
        with self._clock.time("overlay"):
            jpeg = encode_jpeg(overlay(seen.view, grad_cam(class_map[:, :, best])))
        return Tagging(
            label=manifest.labels[best],
            confidence=float(confidences[best]),
            confidences=tuple(round(float(each), 6) for each in confidences),
            runner_up=manifest.labels[second],
            runner_up_confidence=float(confidences[second]),
            out_of_taxonomy_score=word.out_of_taxonomy_score,
            model_version=manifest.model_version,
            image_sha256=seen.image_sha256,
            photo_temperature=rule.photo_temperature,
            reasons=_reasons(job, seen, word, rule, confidences),
            overlay_jpeg=jpeg,
            class_map=class_map.astype(np.float16).tobytes(),
            class_map_height=class_map.shape[0],
            class_map_width=class_map.shape[1],
            embedding=word.predictions.embedding[word.row].astype(np.float16).tobytes(),
        )

    def _opinion(self, job: Job, seen: _Seen, word: Prediction) -> ShadowOpinion:
        # Nobody audits a shadow: what it says is not shown to anyone.
        rule = self._rule(seen, word, NO_AUDIT)
        confidences = word.under(rule)
        best = int(np.argmax(confidences))
        return ShadowOpinion(
            label=word.manifest.labels[best],
            confidence=float(confidences[best]),
            out_of_taxonomy_score=word.out_of_taxonomy_score,
            model_version=word.manifest.model_version,
            image_sha256=seen.image_sha256,
            reasons=_reasons(job, seen, word, rule, confidences),
        )

    def _rule(self, seen: _Seen, word: Prediction, audit: AuditShares) -> Rule:
        return rule_for(
            word.manifest,
            photo=seen.reduced.is_photo,
            earned=self.earned.get(word.manifest.model_version),
            audit=audit,
        )


def _reasons(
    job: Job, seen: _Seen, word: Prediction, rule: Rule, confidences: NDArray[np.float32]
) -> tuple[FlagReason, ...]:
    """Why a person should look at it, by the rule in force for the model that spoke."""
    return flag_reasons(
        rule,
        word.manifest.labels,
        confidences,
        strangeness=word.out_of_taxonomy_score,
        poor=seen.reduced.poor is not None,
        declared=job.declared_label,
        product_id=job.product_id,
    )
