"""A photo network learns from a shop's corrections: small and real, things drawn on dark paper.

The base learned the same things on light paper.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from catalog.bundle import Bundle, load_bundle
from catalog.networks import Backgrounds, NetworkName, PictureKind
from catalog.taxonomy.model import Category, Replaced, Taxonomy
from catalog.taxonomy.reserved import NOT_IN_TAXONOMY
from tests.trainer.photos.pictures import LABELS, STRANGER, TAXONOMY, drawn, photo_set
from tests.trainer.photos.small_bundle import KEPT_PX, SIDE_PX, small_bundle
from trainer.cross_fitting import folds_of
from trainer.photos.adapt import BothConfig, adapt_both
from trainer.photos.adapting import (
    EVERYWHERE,
    TOGETHER,
    PhotoAdaptConfig,
    course_of,
    facts_of,
    learn_photos,
    offered,
)
from trainer.photos.head_fitting import HeadConfig
from trainer.photos.network import predict
from trainer.photos.opening import open_network
from trainer.photos.recipe import PhotoRecipe
from trainer.photos.shop import ShopPictures
from trainer.photos.training import inputs
from trainer.photos.tuning import TuningConfig
from trainer.photos.ways import Way, Words, learn, out_of_fold, prepare
from trainer.serving_model import ServingModel

pytestmark = pytest.mark.training

CONFIG = PhotoAdaptConfig(
    ways=(Way.HEAD,),
    folds=2,
    head=HeadConfig(views=3),
    tuning=TuningConfig(epochs=6, learning_rate=5e-3, frozen_blocks=0),
)
LATER = Taxonomy(
    name=TAXONOMY.name,
    version=TAXONOMY.version + 1,
    categories=(*TAXONOMY.categories, Category(id=STRANGER, name="Cross")),
    replaces=Replaced(version=TAXONOMY.version, categories={}),
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle of a small photo network alone, trained on light paper."""
    return small_bundle(tmp_path_factory.mktemp("base"))


def shop(base: Bundle, names: Sequence[str], seed: int) -> ShopPictures:
    """Photos of these things on dark paper, and what the base says of them."""
    rng = np.random.default_rng(seed)
    colour = 255 - np.stack([drawn(name, rng, KEPT_PX) for name in names])
    served = inputs(replace(photo_set(1), pixels=colour), PhotoRecipe(side_px=SIDE_PX))
    logits = ServingModel(base.part(NetworkName.PHOTO).serving_model)(served).logits
    return ShopPictures(
        uris=tuple(map(str, range(len(names)))),
        names=tuple(name if name in LABELS else NOT_IN_TAXONOMY for name in names),
        kinds=(PictureKind.PLAIN,) * len(names),
        reduced=np.zeros((len(names), 28, 28, 1), np.uint8),
        colour=colour,
        said=tuple(LABELS[place] for place in logits.argmax(axis=1)),
        accepted=np.zeros(len(names), bool),
        reduced_words=np.zeros((len(names), 0), np.float32),
    )


def things(count: int) -> list[str]:
    """Names of as many things of each category, and strangers."""
    return [*LABELS, STRANGER] * count


def right(base: Bundle, pictures: ShopPictures) -> float:
    """How many of those of a category a bundle names rightly, 0-1."""
    served = inputs(pictures.for_photo_network(base.manifest.labels), PhotoRecipe(side_px=SIDE_PX))
    logits = ServingModel(base.part(NetworkName.PHOTO).serving_model)(served).logits
    truth = pictures.truth(base.manifest.labels)
    known = truth >= 0
    return float((logits.argmax(axis=1) == truth)[known].mean())


def no_data() -> Path:
    raise AssertionError("the 28×28 network has nothing to learn from")


def test_what_people_corrected_makes_the_next_photos_right(base: Bundle, tmp_path: Path) -> None:
    taught, others = shop(base, things(40), 1), shop(base, things(25), 2)
    result = adapt_both(base.folder, taught, no_data, tmp_path / "new", BothConfig(photo=CONFIG))
    adapted = load_bundle(tmp_path / "new")
    assert result.photos.way is Way.HEAD
    assert right(adapted, others) > right(base, others) + 0.1
    assert adapted.manifest.model_version != base.manifest.model_version
    history = adapted.manifest.training["photo_adaptation"]
    assert history["base"] == base.manifest.model_version
    assert history["labels"][NOT_IN_TAXONOMY] == 40
    # It may learn on from itself, and from nothing new stays what it is.
    again = open_network(adapted.part(NetworkName.PHOTO), TAXONOMY)
    served = inputs(others.for_photo_network(LABELS), PhotoRecipe(side_px=SIDE_PX))
    said = ServingModel(adapted.part(NetworkName.PHOTO).serving_model)(served).logits
    found = np.asarray(predict(again.network, served))[:, :-1]
    assert (found.argmax(axis=1) == said.argmax(axis=1)).mean() > 0.97


@pytest.mark.parametrize(
    "names",
    [["disc"] * 60, [STRANGER] * 60, [*things(2), "disc", "bar"]],
    ids=["one category alone", "strangers alone", "ten photos"],
)
def test_what_cannot_be_judged_teaches_nothing(
    base: Bundle, names: list[str], tmp_path: Path
) -> None:
    result = adapt_both(
        base.folder, shop(base, names, 3), no_data, tmp_path / "new", BothConfig(photo=CONFIG)
    )
    assert not result.changed
    assert load_bundle(tmp_path / "new").manifest == base.manifest


def test_a_fifth_of_wrong_labels_makes_no_photo_network_worse(base: Bundle, tmp_path: Path) -> None:
    taught, others = shop(base, things(40), 4), shop(base, things(25), 5)
    rng = np.random.default_rng(0)
    names = list(taught.names)
    for place in rng.choice(len(names), len(names) // 5, replace=False):
        names[place] = str(rng.choice([name for name in LABELS if name != names[place]]))
    noisy = replace(taught, names=tuple(names))
    adapt_both(base.folder, noisy, no_data, tmp_path / "new", BothConfig(photo=CONFIG))
    assert right(load_bundle(tmp_path / "new"), others) >= right(base, others)


def test_a_category_that_a_later_taxonomy_adds_is_learned(base: Bundle, tmp_path: Path) -> None:
    taught, others = shop(base, things(40), 6), shop(base, things(25), 7)
    named = tuple(STRANGER if name == NOT_IN_TAXONOMY else name for name in taught.names)
    adapt_both(
        base.folder,
        replace(taught, names=named),
        no_data,
        tmp_path / "new",
        BothConfig(photo=CONFIG),
        taxonomy=LATER,
    )
    adapted = load_bundle(tmp_path / "new")
    assert adapted.manifest.labels == (*LABELS, STRANGER)
    assert adapted.manifest.taxonomy.version == LATER.version
    crosses = others.take(~others.known)
    crosses = replace(crosses, names=(STRANGER,) * len(crosses))
    assert right(adapted, crosses) > 0.7


def test_the_whole_network_learns_and_is_restored(base: Bundle) -> None:
    taught = shop(base, things(30), 8)
    opened = open_network(base.part(NetworkName.PHOTO), TAXONOMY)
    photos = taught.for_photo_network(LABELS)
    course = prepare(opened, photos, CONFIG.head, CONFIG.tuning, 0)
    before = [weight.copy() for weight in opened.network.get_weights()]
    truth = taught.truth(LABELS)
    scores = out_of_fold(course, Way.NETWORK, folds_of(truth, 2, 0)).scores
    known = truth >= 0
    today = course.looks.scores[0][:, :-1].argmax(axis=1)
    found = scores[:, :-1].argmax(axis=1)
    assert (found == truth)[known].mean() > (today == truth)[known].mean()
    for old, new in zip(before, opened.network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    learn(course, Way.NETWORK, np.ones(len(photos), bool))
    assert any(
        not np.array_equal(old, new)
        for old, new in zip(before, opened.network.get_weights(), strict=True)
    )


def test_photos_that_were_looked_at_before_teach_the_same(base: Bundle) -> None:
    many = shop(base, things(40), 10)
    drawn = np.random.default_rng(0).permutation(len(many))[:90]
    taught = many.take(drawn)
    looked_at = course_of(base, many, TAXONOMY, CONFIG)
    learned = [
        learn_photos(base, taught, TAXONOMY, CONFIG, course=course)
        for course in (None, looked_at.take(drawn))
    ]
    kernels = []
    for each in learned:
        assert each.changed
        assert each.opened is not None
        kernels.append(np.concatenate([x.get_weights()[0] for x in each.opened.learned], axis=-1))
    np.testing.assert_allclose(kernels[0], kernels[1], atol=0.02 * np.abs(kernels[0]).max())
    assert facts_of(learned[0]) == facts_of(learned[1])


def test_learning_nothing_leaves_what_the_network_said(base: Bundle) -> None:
    taught = shop(base, things(10), 9)
    learned = learn_photos(base, taught, TAXONOMY, replace(CONFIG, ways=()))
    assert not learned.changed
    assert learned.backgrounds is Backgrounds.ANY


def spoken(said: list[int]) -> Words:
    """Words of a network that calls photos by these labels."""
    scores = 5 * np.eye(len(LABELS) + 1, dtype=np.float32)[said]
    return Words(
        scores=scores,
        features=np.zeros((len(said), 4), np.float32),
        network=np.zeros(len(said), np.int64),
    )


def test_a_photo_network_for_busy_photos_is_also_tried_on_plain_ones() -> None:
    count = 6
    photos = ShopPictures(
        uris=tuple(map(str, range(count))),
        names=("disc",) * count,
        kinds=(PictureKind.PLAIN,) * 3 + (PictureKind.BUSY,) * 3,
        reduced=np.zeros((count, 28, 28, 1), np.uint8),
        colour=np.zeros((count, 40, 40, 3), np.uint8),
        said=("bar",) * count,
        accepted=np.zeros(count, bool),
        reduced_words=np.log(np.tile(np.array([0.98, 0.01, 0.01], np.float32), (count, 1))),
    )
    words = {Way.BASE: spoken([2] * count), Way.HEAD: spoken([0] * count)}
    busy, today = photos.is_kind(PictureKind.BUSY), np.ones(count, np.int64)
    truth = np.zeros(count, np.int64)
    found = offered(photos, words, today, truth, busy, photos.reduced_words)
    said = {name: each.logits.argmax(axis=1).tolist() for name, each in found.items()}
    assert said["base"] == [1] * 6
    assert said[Way.HEAD] == [1, 1, 1, 0, 0, 0]
    assert said[f"{Way.HEAD}{EVERYWHERE}"] == [0] * 6
    assert said[f"{Way.BASE}{EVERYWHERE}"] == [2] * 6
    # The 28×28 network is right, and outvotes the photo network, which is sure of nothing.
    assert said[f"{Way.BASE}{TOGETHER}"] == [0, 0, 0, 2, 2, 2]
    assert found[f"{Way.BASE}{TOGETHER}"].share == 0.2  # the least that is enough
