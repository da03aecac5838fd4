"""The classifier and the batch: same image, same bundle, same answer, in any batch."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from catalog.acceptance import NEVER, Earned
from catalog.bundle import load_bundle
from catalog.failures import FailureCode, FetchFailure
from catalog.fetching.room import ByteRoom
from catalog.fetching.slots import ConnectionSlots
from catalog.fetching.validators import Fetched
from catalog.images.decode import DecodeLimits
from catalog.jobs import Job
from catalog.networks import NetworkName, PhotoRule
from catalog.outcomes import Failure, FlagReason, Outcome, Tagging
from catalog.sample import SAMPLE
from catalog.settings import SHIPPED_BUNDLE
from catalog.statistics import softmax
from tests.catalog.images.pictures import encode, jpeg
from tests.taxonomies import LABELS
from worker.tagging.classifier import Classifier, ServingNetwork
from worker.tagging.fetch_ahead import FetchAhead
from worker.tagging.lineup import Lineup
from worker.tagging.looking import Looker
from worker.tagging.stages import StageClock
from worker.tagging.tagger import Tagger


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier(load_bundle(SHIPPED_BUNDLE))


def reduced_network(classifier: Classifier) -> ServingNetwork:
    return classifier.networks[NetworkName.REDUCED]


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    with np.load(SAMPLE) as sample:
        return sample["images"][:, :, :, None]


def tag(
    classifier: Classifier,
    fetch: Callable[[str], bytes],
    jobs: Sequence[Job],
    earned: Mapping[str, Earned] | None = None,
) -> list[Outcome]:
    """Tag one batch of pictures that `fetch` gives; as local ones, where the URI is no URL."""
    threads, clock = ThreadPoolExecutor(2), StageClock()
    looker = Looker(
        ahead=FetchAhead(
            ConnectionSlots(per_host_max=2, total_max=4), ByteRoom(10_000_000, 1_000_000)
        ),
        threads=threads,
        limits=DecodeLimits(),
        thumbnail_size_px=128,
        clock=clock,
    )
    tagger = Tagger(looker=looker, threads=threads, clock=clock)
    lineup = Lineup(serving=classifier, earned=earned or {})
    validator = {"good": "etag:good"}
    return tagger.tag_batch(
        jobs, lineup, lambda uri, _: Fetched(data=fetch(uri), validator=validator.get(uri))
    )


def test_image_alone_and_in_any_batch_gets_the_same_confidences(
    classifier: Classifier, images: np.ndarray
) -> None:
    whole = reduced_network(classifier).classify(images[:130])
    for place in (0, 1, 64, 129):
        alone = reduced_network(classifier).classify(images[place : place + 1])
        np.testing.assert_array_equal(alone.confidences[0], whole.confidences[place])
        np.testing.assert_array_equal(alone.class_maps[0], whole.class_maps[place])
        np.testing.assert_array_equal(alone.out_of_taxonomy[0], whole.out_of_taxonomy[place])


def test_serving_model_answers_as_the_bundle_says(
    classifier: Classifier, images: np.ndarray
) -> None:
    predictions = reduced_network(classifier).classify(images[:5])
    shapes = classifier.manifest.networks[NetworkName.REDUCED].outputs
    assert classifier.manifest.labels == LABELS
    assert predictions.class_maps.shape == (5, *shapes["class_maps"])
    assert predictions.embedding.shape == (5, *shapes["embedding"])
    np.testing.assert_allclose(predictions.confidences.sum(axis=1), 1, atol=1e-5)


def test_softmax_survives_large_logits() -> None:
    found = softmax(np.array([[1000.0, 0.0], [-1000.0, -1000.0]], np.float32))
    np.testing.assert_allclose(found, [[1, 0], [0.5, 0.5]])


def test_bad_images_fail_alone_and_outcomes_keep_the_order(classifier: Classifier) -> None:
    def fetch(uri: str) -> bytes:
        if uri == "missing":
            raise FetchFailure(FailureCode.NOT_FOUND, "Expected a file, found none.")
        if uri == "bug":
            raise RuntimeError("a bug in a library")
        return jpeg() if uri == "good" else b"no picture"

    uris = ["good", "missing", "good", "bug", "text", "good"]
    jobs = [Job(product_id=f"p{n}", image_uri=uri) for n, uri in enumerate(uris)]
    outcomes = tag(classifier, fetch, jobs)
    assert [outcome.subject for outcome in outcomes] == [job.product_id for job in jobs]
    results = [outcome.result for outcome in outcomes]
    codes = [each.code if isinstance(each, Failure) else None for each in results]
    assert codes == [
        None, FailureCode.NOT_FOUND, None, FailureCode.INTERNAL_ERROR,
        FailureCode.NOT_AN_IMAGE, None,
    ]  # fmt: skip
    told = ["etag:good", None, "etag:good", None, None, "etag:good"]
    assert [outcome.image_validator for outcome in outcomes] == told
    good = [each for each in results if isinstance(each, Tagging)]
    assert {each.confidence for each in good} == {good[0].confidence}


def test_batch_without_a_good_image_needs_no_model(classifier: Classifier) -> None:
    jobs = [Job(product_id="p1", image_uri="x")]
    (outcome,) = tag(classifier, lambda _: b"", jobs)
    assert isinstance(outcome.result, Failure)
    assert outcome.result.code is FailureCode.EMPTY_FILE
    assert tag(classifier, lambda _: b"", []) == []


def as_photo(image: np.ndarray) -> bytes:
    """A garment as a small photo on white paper."""
    large = 255 - cv2.resize(image, (112, 112), interpolation=cv2.INTER_NEAREST)
    return encode(Image.fromarray(cv2.copyMakeBorder(large, 8, 8, 8, 8, 0, value=255)), "PNG")


def test_photos_are_under_the_cautious_rule_until_trust_is_earned(
    classifier: Classifier, images: np.ndarray
) -> None:
    network = classifier.manifest.networks[NetworkName.REDUCED]
    photos = PhotoRule(
        temperature=2 * network.temperature,
        acceptance=replace(network.acceptance, confidence_min=dict.fromkeys(LABELS, NEVER)),
        out_of_taxonomy_threshold=float("inf"),
    )
    manifest = replace(
        classifier.manifest, networks={NetworkName.REDUCED: replace(network, photos=photos)}
    )
    careful = copy(classifier)
    careful.manifest = manifest
    reduced = encode(Image.fromarray(255 - images[0, :, :, 0]), "PNG")
    jobs = [Job(product_id=name, image_uri=name) for name in ("photo", "reduced")]
    files = {"photo": as_photo(images[0, :, :, 0]), "reduced": reduced}

    def results(earned: Mapping[str, Earned]) -> list[Tagging]:
        outcomes = tag(careful, files.__getitem__, jobs, earned)
        return [each.result for each in outcomes if isinstance(each.result, Tagging)]

    photo, small = results({})
    assert FlagReason.LOW_CONFIDENCE in photo.reasons
    assert photo.photo_temperature == 2 * network.temperature
    assert small.photo_temperature is None
    assert small.confidence == pytest.approx(
        float(reduced_network(classifier).classify(images[:1]).confidences.max()),
        abs=1e-5,
    )
    earned = Earned(temperature=network.temperature, confidence_min={photo.label: 0.0})
    photo, _ = results({manifest.model_version: earned})
    assert FlagReason.LOW_CONFIDENCE not in photo.reasons
