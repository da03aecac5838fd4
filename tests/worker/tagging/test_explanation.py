import io
from copy import copy
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from catalog.bundle import load_bundle
from catalog.failures import ImageFailure
from catalog.networks import NetworkName
from catalog.settings import SHIPPED_BUNDLE
from tests.catalog.images.pictures import encode, jpeg
from worker.tagging.classifier import Classifier
from worker.tagging.explanation import draw, explain


def on_white() -> bytes:
    """A photo on a plain background, which is cut out for the 28×28 network."""
    picture = Image.new("RGB", (300, 400), "white")
    picture.paste("navy", (80, 60, 220, 340))
    return encode(picture, "PNG")


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier(load_bundle(SHIPPED_BUNDLE))


def test_explanation_names_the_three_best_classes_and_all_confidences(
    classifier: Classifier,
) -> None:
    explanation = explain(jpeg(300, 400), classifier)
    confidences = [confidence for _, confidence in explanation.confidences]
    assert confidences == sorted(confidences, reverse=True)
    assert sum(confidences) == pytest.approx(1, abs=1e-4)
    shown = [label for label, _ in explanation.overlays]
    assert shown == [label for label, _ in explanation.confidences[:3]]
    for picture in (explanation.photo, explanation.seen, explanation.overlays[0][1]):
        assert (picture.shape, picture.dtype) == ((256, 256, 3), np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (2, 900), (28, 28), (2000, 1500)])
def test_any_picture_can_be_drawn(classifier: Classifier, size: tuple[int, int]) -> None:
    data = encode(Image.new("RGB", size, "navy"), "PNG")
    explanation = explain(data, classifier)
    for stages in (False, True):
        with Image.open(io.BytesIO(draw(explanation, stages=stages))) as sheet:
            panels = 5 + (len(explanation.stages) if stages else 0)
            assert sheet.width == panels * 272 + 16


def test_a_photo_has_stages_and_a_picture_that_came_reduced_has_none(
    classifier: Classifier,
) -> None:
    captions = [caption for caption, _ in explain(on_white(), classifier).stages]
    assert [caption.split(",")[0] for caption in captions] == [
        "made small",
        "background",
        "wearer and others",
        "trimmed",
    ]
    reduced = encode(Image.new("RGB", (28, 28), "navy"), "PNG")
    assert explain(reduced, classifier).stages == []


def test_a_photo_is_no_surer_here_than_where_it_is_tagged(classifier: Classifier) -> None:
    careful = copy(classifier)
    network = classifier.manifest.networks[NetworkName.REDUCED]
    rule = replace(network.photo_rule, temperature=10 * network.temperature)
    networks = {NetworkName.REDUCED: replace(network, photos=rule)}
    careful.manifest = replace(classifier.manifest, networks=networks)
    sure, unsure = (explain(on_white(), each).confidences[0][1] for each in (classifier, careful))
    assert unsure < sure


def test_what_is_no_picture_fails_with_its_reason(classifier: Classifier) -> None:
    with pytest.raises(ImageFailure):
        explain(b"no picture", classifier)
