from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from catalog.cli import main
from catalog.errors import OperatorError
from catalog.photo_sample import photo_sample, sampled_taxonomies
from catalog.taxonomy.files import shipped


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


def test_demo_of_a_taxonomy_needs_a_bundle_of_it(tmp_path: Path) -> None:
    told = CliRunner().invoke(main, ["demo", "--taxonomy", "clothing-17"])
    assert told.exit_code == 1
    assert "Expected a bundle of the taxonomy clothing-17, found fashion-mnist 1" in told.output
    assert not (tmp_path / "home").exists()
