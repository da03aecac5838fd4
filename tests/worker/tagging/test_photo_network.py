"""Which network judges a picture, from its bytes to the database."""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.bundle import BundleError, checksums, load_bundle, read_manifest, write_manifest
from catalog.check_predictions import CheckPredictions, read_check, write_check
from catalog.fetching.room import ByteRoom
from catalog.fetching.slots import ConnectionSlots
from catalog.fetching.validators import Fetched
from catalog.images.decode import DecodeLimits
from catalog.jobs import Job
from catalog.networks import Acceptance, Mixture, NetworkName
from catalog.outcomes import FlagReason, Outcome, ShadowOpinion, Tagging
from catalog.sample import SAMPLE
from catalog.settings import read_settings
from db import migrate
from db.engine import make_engine
from db.ledger.models import Tagging as TaggingRow
from db.ledger.models import Thumbnail
from tests.catalog.images.pictures import encode
from tests.photo_networks import (
    COLOURS,
    SIDE_PX,
    bundle_with_photo_network,
    photo_network,
    without_photo_network,
)
from tests.taxonomies import LABELS
from worker.serving import load_serving_bundle
from worker.tagging.classifier import SLICE_BYTES_MAX, Classifier
from worker.tagging.explanation import draw, explain
from worker.tagging.fetch_ahead import FetchAhead
from worker.tagging.lineup import Lineup, Trial
from worker.tagging.looking import Looker
from worker.tagging.process import make_batch_runner
from worker.tagging.stages import StageClock
from worker.tagging.tagger import Tagger

BAG = LABELS.index("bag")


def photo(label: int = BAG) -> bytes:
    """A photo of one colour, with an edge so that it is neither blurred nor empty."""
    pixels = np.empty((300, 240, 3), np.uint8)
    pixels[:] = COLOURS[label]
    pixels[:, :12] = 255 - np.array(COLOURS[label]) // 2
    return encode(Image.fromarray(pixels), "PNG")


def reduced() -> bytes:
    """A picture of Fashion-MNIST, as it came."""
    with np.load(SAMPLE) as sample:
        return encode(Image.fromarray(255 - sample["images"][0]), "PNG")


PICTURES: dict[str, Callable[[], bytes]] = {"photo": photo, "reduced": reduced}


def tag(lineup: Lineup) -> tuple[Outcome, Outcome]:
    """A photo and a picture that came reduced."""
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
    jobs = [Job(product_id=name, image_uri=f"/{name}") for name in PICTURES]
    tagger = Tagger(looker=looker, threads=threads, clock=clock)
    first, second = tagger.tag_batch(
        jobs, lineup, lambda uri, _: Fetched(data=PICTURES[uri.strip("/")]())
    )
    return first, second


def taggings(lineup: Lineup) -> tuple[Tagging, Tagging]:
    first, second = (each.result for each in tag(lineup))
    assert isinstance(first, Tagging)
    assert isinstance(second, Tagging)
    return first, second


def classifier(folder: Path) -> Classifier:
    return Classifier(load_serving_bundle(folder))


def test_each_picture_goes_to_the_network_that_was_made_for_it(tmp_path: Path) -> None:
    seen, small = taggings(Lineup(serving=classifier(bundle_with_photo_network(tmp_path))))
    assert (seen.network, small.network) == (NetworkName.PHOTO, NetworkName.REDUCED)
    assert (seen.label, seen.reasons) == ("bag", ())
    assert seen.photo_temperature == 1.0
    assert small.photo_temperature is None
    reduced_only = classifier(without_photo_network(tmp_path / "reduced"))
    (as_ever, alone) = taggings(Lineup(serving=reduced_only))
    assert as_ever.network is alone.network is NetworkName.REDUCED
    assert small.confidences == alone.confidences


def mixing(reduced_weight: float, photo_weight: float) -> Mixture:
    return Mixture(
        reduced_weight=reduced_weight,
        photo_weight=photo_weight,
        acceptance=Acceptance(
            confidence_min=dict.fromkeys(LABELS, 0.5), precision=0.97, guarantee_level=0.95
        ),
        out_of_taxonomy_threshold=1e6,
    )


def test_both_networks_have_a_word_on_a_plain_photo(tmp_path: Path) -> None:
    alone, _ = taggings(Lineup(serving=classifier(without_photo_network(tmp_path / "only"))))
    found = {}
    for name, weights in {"both": (0.4, 0.8), "photo": (0.0, 1.0), "reduced": (1.0, 0.0)}.items():
        folder = bundle_with_photo_network(tmp_path, name, mixture=mixing(*weights))
        seen, small = taggings(Lineup(serving=classifier(folder)))
        assert (seen.network, small.network) == (NetworkName.PHOTO, NetworkName.REDUCED)
        found[name] = np.array(seen.confidences)
    product = found["photo"] ** 0.8 * np.maximum(found["reduced"], 1e-30) ** 0.4
    np.testing.assert_allclose(found["both"], product / product.sum(), atol=1e-3)
    assert LABELS[found["reduced"].argmax()] == alone.label


def test_logits_are_the_mean_of_the_class_maps(tmp_path: Path) -> None:
    seen, _ = taggings(Lineup(serving=classifier(bundle_with_photo_network(tmp_path))))
    maps = np.frombuffer(seen.class_map, np.float16).reshape(4, 4, len(LABELS)).astype(np.float64)
    logits = maps.mean(axis=(0, 1))
    powers = np.exp(logits - logits.max())
    np.testing.assert_allclose(seen.confidences, powers / powers.sum(), atol=0.01)
    assert len(seen.embedding) == 2 * 8


def test_a_photo_network_alone_names_what_came_reduced_and_accepts_none_of_it(
    tmp_path: Path,
) -> None:
    only = classifier(bundle_with_photo_network(tmp_path, alone=True))
    seen, small = taggings(Lineup(serving=only))
    assert seen.network is small.network is NetworkName.PHOTO
    assert seen.reasons == ()
    assert FlagReason.LOW_CONFIDENCE in small.reasons
    assert small.photo_temperature is None


def test_models_on_trial_see_each_picture_as_they_take_it(tmp_path: Path) -> None:
    shadow = Trial(classifier=classifier(bundle_with_photo_network(tmp_path)), share=1.0)
    serving = classifier(without_photo_network(tmp_path / "reduced"))
    outcomes = tag(Lineup(serving=serving, shadow=shadow))
    opinions = [each.shadow for each in outcomes]
    assert all(isinstance(each, ShadowOpinion) for each in opinions)
    assert opinions[0] is not None
    assert (opinions[0].label, opinions[0].model_version) == ("bag", "in-colour")
    results = [each.result for each in outcomes]
    assert [each.network for each in results if isinstance(each, Tagging)] == ["reduced"] * 2
    canary = Lineup(serving=serving, canary=shadow)
    seen, small = taggings(canary)
    assert (seen.network, small.network) == (NetworkName.PHOTO, NetworkName.REDUCED)
    assert {seen.model_version, small.model_version} == {"in-colour"}


def test_each_tagging_is_stored_with_the_network_that_spoke(tmp_path: Path) -> None:
    bundle = bundle_with_photo_network(tmp_path)
    chosen = read_settings(
        home=tmp_path, database_url=None, bundle=bundle, allowed_roots=(tmp_path,), audit_share=0,
        cautious_audit_share=0,
    )  # fmt: skip
    engine = make_engine(chosen.database)
    migrate.upgrade(engine)
    runner = make_batch_runner(chosen, engine=engine)
    for name, picture in PICTURES.items():
        (tmp_path / name).write_bytes(picture())
    jobs = [{"product_id": name, "image_uri": (tmp_path / name).as_uri()} for name in PICTURES]
    runner.tag_and_store(jobs, list(PICTURES))
    with Session(engine) as session:
        rows = session.execute(
            select(TaggingRow.product_id, TaggingRow.network, Thumbnail.class_map_height).join(
                Thumbnail, Thumbnail.tagging_id == TaggingRow.id
            )
        ).all()
    engine.dispose()
    assert sorted(map(tuple, rows)) == [("photo", "photo", 4), ("reduced", "reduced", 7)]


def test_a_photo_alone_and_in_any_batch_gets_the_same_confidences(tmp_path: Path) -> None:
    network = classifier(bundle_with_photo_network(tmp_path)).networks[NetworkName.PHOTO]
    shape = (250, SIDE_PX, SIDE_PX, 3)
    # More than go through the network at once.
    assert math.prod(shape) > 2 * SLICE_BYTES_MAX
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    whole = network.classify(images)
    assert whole.class_maps.shape == (250, 4, 4, len(LABELS))
    for place in (0, 99, 100, 249):
        alone = network.classify(images[place : place + 1])
        np.testing.assert_array_equal(alone.confidences[0], whole.confidences[place])
        np.testing.assert_array_equal(alone.embedding[0], whole.embedding[place])
        np.testing.assert_array_equal(alone.out_of_taxonomy[0], whole.out_of_taxonomy[place])


def test_explain_shows_what_the_photo_network_saw(tmp_path: Path) -> None:
    mine = classifier(bundle_with_photo_network(tmp_path))
    explanation = explain(photo(), mine)
    assert explanation.network is NetworkName.PHOTO
    assert explanation.stages == []
    assert explanation.confidences[0][0] == "bag"
    # Letterboxed, not cut out: the corner has the photo's own colour.
    middle = explanation.seen[128, 128]
    np.testing.assert_array_equal(middle, COLOURS[BAG])
    assert draw(explanation, stages=True).startswith(b"\x89PNG")
    assert explain(reduced(), mine).network is NetworkName.REDUCED


def test_a_photo_networks_own_check_is_held_against_it(tmp_path: Path) -> None:
    folder = bundle_with_photo_network(tmp_path)
    check = read_check(load_bundle(folder).part(NetworkName.PHOTO))
    assert check.images.shape == (len(LABELS), SIDE_PX, SIDE_PX, 3)
    write_check(
        folder / NetworkName.PHOTO,
        CheckPredictions(images=check.images, logits=check.logits[:, ::-1]),
    )

    write_manifest(folder, replace(read_manifest(folder), files=checksums(folder)))
    with pytest.raises(BundleError, match="the network photo of in-colour to reproduce"):
        classifier(folder)


def test_a_photo_network_of_another_preprocessing_is_refused(tmp_path: Path) -> None:

    steps = photo_network().preprocessing
    folder = bundle_with_photo_network(tmp_path, preprocessing=replace(steps, name="stretched-1"))
    with pytest.raises(BundleError, match="'stretched-1' of the network photo"):
        load_serving_bundle(folder)
