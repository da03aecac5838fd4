import io

import numpy as np
import pytest
from PIL import Image

from catalog.bundle import load_bundle
from catalog.failures import ImageFailure
from catalog.settings import SHIPPED_BUNDLE
from tests.catalog.images.pictures import encode, jpeg
from worker.classifier import Classifier
from worker.explanation import draw, explain


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
    for picture in (explanation.photo, explanation.reduced, explanation.overlays[0][1]):
        assert (picture.shape, picture.dtype) == ((256, 256, 3), np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (2, 900), (28, 28), (2000, 1500)])
def test_any_picture_can_be_drawn(classifier: Classifier, size: tuple[int, int]) -> None:
    data = encode(Image.new("RGB", size, "navy"), "PNG")
    with Image.open(io.BytesIO(draw(explain(data, classifier)))) as sheet:
        assert sheet.width == 6 * 272 + 16


def test_what_is_no_picture_fails_with_its_reason(classifier: Classifier) -> None:
    with pytest.raises(ImageFailure):
        explain(b"no picture", classifier)
