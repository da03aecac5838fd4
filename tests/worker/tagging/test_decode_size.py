"""How large a picture is decoded is part of the preprocessing: no setting moves a label."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from catalog.bundle import load_bundle
from catalog.images.decode import decode
from catalog.images.model_input import model_input
from catalog.images.preprocessing import DECODE_PX, preprocessing_of
from catalog.jobs import Job
from catalog.networks import NetworkName
from catalog.outcomes import Tagging
from catalog.settings import SHIPPED_BUNDLE, read_settings
from lab.serving import generate_photos
from trainer.photo_evaluation import load_photo
from worker.tagging.classifier import Classifier
from worker.tagging.explanation import explain
from worker.tagging.lineup import Lineup
from worker.tagging.process import make_ahead, make_fetcher, make_tagger
from worker.tagging.stages import StageClock

THUMBNAILS_PX = (32, 128, 300, 512)


@dataclass(frozen=True)
class Shop:
    """JPEGs of 1,000×1,333 pixels, of textured garments on a plain background."""

    folder: Path
    jobs: list[Job]

    @property
    def files(self) -> list[Path]:
        return sorted(self.folder.iterdir())


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("shop") / "photos"
    return Shop(folder, generate_photos(folder, 12))


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier(load_bundle(SHIPPED_BUNDLE))


def taggings(shop: Shop, classifier: Classifier, thumbnail_size_px: int) -> list[Tagging]:
    chosen = read_settings(allowed_roots=(shop.folder,), thumbnail_size_px=thumbnail_size_px)
    fetcher = make_fetcher(chosen)
    tagger = make_tagger(chosen, make_ahead(chosen, fetcher), StageClock())
    outcomes = tagger.tag_batch(shop.jobs, Lineup(serving=classifier), fetcher.fetch_validated)
    return [each.result for each in outcomes if isinstance(each.result, Tagging)]


def test_the_size_of_thumbnails_changes_no_label_and_no_confidence(
    shop: Shop, classifier: Classifier
) -> None:
    usual, *others = (taggings(shop, classifier, size) for size in THUMBNAILS_PX)
    assert len(usual) == len(shop.jobs)
    assert len({each.label for each in usual}) > 3
    for other in others:
        assert [each.label for each in other] == [each.label for each in usual]
        assert [each.confidences for each in other] == [each.confidences for each in usual]
        assert [each.reasons for each in other] == [each.reasons for each in usual]


def test_explain_says_what_the_worker_says(shop: Shop, classifier: Classifier) -> None:
    for path, tagging in zip(shop.files, taggings(shop, classifier, 128), strict=True):
        label, confidence = explain(path.read_bytes(), classifier).confidences[0]
        assert (label, confidence) == (tagging.label, pytest.approx(tagging.confidence, abs=1e-5))


def test_the_trainer_sees_photos_as_the_worker_does(shop: Shop) -> None:
    for path in shop.files:
        photo = decode(path.read_bytes(), size_px_min=DECODE_PX)
        found = load_photo(path)
        assert found is not None
        assert (found.pixels == model_input(photo.pixels).pixels).all()


def test_the_photos_would_look_otherwise_if_decoded_larger(shop: Shop) -> None:
    """So that the tests above can fail."""
    inputs = [
        [model_input(decode(path.read_bytes(), size_px_min=size).pixels).pixels for size in sizes]
        for path in shop.files
        for sizes in [(DECODE_PX, 2 * DECODE_PX)]
    ]
    assert any((usual != larger).any() for usual, larger in inputs)


def test_a_bundle_names_the_size_it_was_made_for() -> None:
    told = load_bundle(SHIPPED_BUNDLE).manifest.networks[NetworkName.REDUCED].preprocessing
    assert told.decode_px == DECODE_PX
    assert told == preprocessing_of(NetworkName.REDUCED)
