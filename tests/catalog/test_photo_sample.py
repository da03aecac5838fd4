from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from catalog.bundle import load_bundle
from catalog.cli import main
from catalog.errors import OperatorError
from catalog.images.decode import decode
from catalog.images.model_input import glance
from catalog.images.network_input import network_input
from catalog.images.preprocessing import DECODE_PX
from catalog.photo_sample import photo_sample, sampled_taxonomies
from catalog.settings import SHIPPED_BUNDLE
from catalog.taxonomy.files import shipped
from worker.commands import demo
from worker.tagging.classifier import Classifier
from worker.tagging.lineup import Lineup, predict


def test_every_category_has_seven_photos_that_can_be_read() -> None:
    pictures = photo_sample("clothing-17")
    assert Counter(each.label for each in pictures) == dict.fromkeys(shipped("clothing-17").ids, 7)
    assert len({each.product_id for each in pictures}) == len(pictures)
    for each in pictures:
        with Image.open(each.path) as photo:
            assert max(photo.size) == 320
    assert sum(each.path.stat().st_size for each in pictures) < 4_000_000


def test_a_taxonomy_without_a_sample_is_an_operators_error() -> None:
    assert sampled_taxonomies() == ("clothing-17",)
    with pytest.raises(OperatorError, match="clothing-17"):
        photo_sample("fashion-mnist")


def test_the_sample_says_where_it_comes_from() -> None:
    licence = photo_sample("clothing-17")[0].path.with_name("LICENSE").read_text()
    assert "CC0 1.0" in licence
    assert "github.com/alexeygrigorev/clothing-dataset" in licence


def test_the_shipped_bundle_of_the_taxonomy_names_most_photos_of_the_sample() -> None:
    """They are photos that it learned from, so that this shows that it serves, and no more."""
    bundle = load_bundle(SHIPPED_BUNDLE.with_name("clothing-17"))
    assert bundle.manifest.labels == shipped("clothing-17").ids
    pictures = photo_sample("clothing-17")[::7]
    lineup = Lineup(serving=Classifier(bundle))
    right = 0
    for each in pictures:
        photo = decode(each.path.read_bytes(), size_px_min=DECODE_PX).pixels
        judge = lineup.judge_of("", kind=glance(photo).kind)
        inputs = {kind: network_input(photo, kind) for kind in judge.kinds}
        (found,) = predict([judge], [inputs])
        assert found is not None
        right += found.labels[int(found.confidences.argmax())] == each.label
    assert right >= 0.6 * len(pictures)


def test_demo_of_a_taxonomy_needs_a_bundle_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "SHIPPED_BUNDLE", tmp_path / "fashion-mnist")
    told = CliRunner().invoke(main, ["demo", "--taxonomy", "clothing-17"])
    assert told.exit_code == 1
    assert "Expected a bundle of the taxonomy clothing-17, found fashion-mnist 1" in told.output
    assert not (tmp_path / "home").exists()
