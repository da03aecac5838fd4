"""From jobs to outcomes: fetch, decode, reduce, classify, explain. Nothing is stored here."""

import hashlib
import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from catalog.failures import FailureCode, ImageFailure
from catalog.flagging import flag_reasons
from catalog.images.decode import DecodeLimits, decode
from catalog.images.model_input import ModelInput, model_input
from catalog.images.overlay import crop, encode_jpeg, grad_cam, overlay
from catalog.jobs import Job
from catalog.outcomes import Failure, Outcome, Tagging
from worker.classifier import Classifier, Predictions
from worker.stages import StageClock


@dataclass(frozen=True, kw_only=True)
class TaggingRules:
    """What the operator chose: see the settings of the same names."""

    thumbnail_size_px: int
    audit_share: float
    decode_limits: DecodeLimits


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
        self._classifier = classifier
        self._fetch = fetch
        self._pool = pool
        self._rules = rules
        self._clock = clock

    def tag_batch(self, jobs: Sequence[Job]) -> list[Outcome]:
        """What became of each job, in order; one bad image fails that image only."""
        seen = list(self._pool.map(self._look, jobs))
        good = [each.reduced.pixels for each in seen if isinstance(each, _Seen)]
        if not good:
            return [_outcome(job, each) for job, each in zip(jobs, seen, strict=True)]
        with self._clock.time("cnn"):
            predictions = self._classifier.classify(np.stack(good))
        rows = itertools.count()
        places = [next(rows) if isinstance(each, _Seen) else None for each in seen]
        results = self._pool.map(partial(self._result, predictions), jobs, seen, places)
        return [_outcome(job, result) for job, result in zip(jobs, results, strict=True)]

    def _look(self, job: Job) -> _Seen | Failure:
        """Fetch, decode and reduce one photo."""
        try:
            with self._clock.time("read"):
                data = self._fetch(job.image_uri)
            with self._clock.time("decode"):
                photo = decode(
                    data,
                    size_px_min=2 * self._rules.thumbnail_size_px,
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

    def _result(
        self, predictions: Predictions, job: Job, seen: _Seen | Failure, row: int | None
    ) -> Tagging | Failure:
        """Turn one row of the predictions into a tagging; a failure stays what it is."""
        if isinstance(seen, Failure):
            return seen
        assert row is not None
        manifest = self._classifier.manifest
        confidences = predictions.confidences[row]
        best, second = (int(index) for index in np.argsort(-confidences, kind="stable")[:2])
        class_map = predictions.class_maps[row]
        score = float(predictions.out_of_taxonomy[row])
        with self._clock.time("overlay"):
            jpeg = encode_jpeg(overlay(seen.view, grad_cam(class_map[:, :, best])))
        return Tagging(
            label=manifest.labels[best],
            confidence=float(confidences[best]),
            confidences=tuple(round(float(each), 6) for each in confidences),
            runner_up=manifest.labels[second],
            runner_up_confidence=float(confidences[second]),
            out_of_taxonomy_score=score,
            model_version=manifest.model_version,
            image_sha256=seen.image_sha256,
            reasons=flag_reasons(
                product_id=job.product_id,
                label=manifest.labels[best],
                confidence=float(confidences[best]),
                out_of_taxonomy_score=score,
                declared_label=job.declared_label,
                poor_image=seen.reduced.poor is not None,
                acceptance=manifest.acceptance,
                out_of_taxonomy=manifest.out_of_taxonomy,
                audit_share=self._rules.audit_share,
            ),
            overlay_jpeg=jpeg,
            class_map=class_map.astype(np.float16).tobytes(),
            class_map_height=class_map.shape[0],
            class_map_width=class_map.shape[1],
            embedding=predictions.embedding[row].astype(np.float16).tobytes(),
        )


def _outcome(job: Job, result: "Tagging | Failure | _Seen") -> Outcome:
    assert not isinstance(result, _Seen)
    return Outcome(subject=job.product_id, job=job, result=result)
