from pathlib import Path

import pytest

from catalog.taxonomy.document import TaxonomyError
from catalog.taxonomy.files import read_taxonomy, shipped, shipped_names, to_yaml

GOOD = """\
name: shop
version: 1
categories:
  - id: no
    name: "No"
    key: 1
    external: {google: 212}
  - id: tee
    name: T-Shirt
    parent:
    aliases: [tshirt]
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "shop.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_ones_read_and_write_back_the_same(tmp_path: Path) -> None:
    assert shipped_names() == ("clothing-17", "fashion-mnist")
    for name in shipped_names():
        assert read_taxonomy(written(tmp_path, to_yaml(shipped(name)))) == shipped(name)


def test_scalars_are_texts_whatever_yaml_makes_of_them(tmp_path: Path) -> None:
    made = read_taxonomy(written(tmp_path, GOOD))
    assert made.ids == ("no", "tee")
    assert made.by_id["no"].external == {"google": "212"}
    assert made.by_id["tee"].parent is None


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("id: tee", "id: Tee", "line 8: Expected 1 to 64 of a-z 0-9 . _ -, found 'Tee'"),
        ("id: tee", "id: no", "line 8: Expected ids that differ, found 'no' twice"),
        ("parent:", "parent: tops", "line 10: Expected the id of a category of this taxonomy"),
        ("[tshirt]", "[NO]", "line 11: Expected a text that names one category, found 'NO'"),
        ("aliases:", "alias:", "line 11: 'alias': Extra inputs are not permitted. Leave it out"),
        ("    name: T-Shirt\n", "", "line 8: 'name': Field required. Add it."),
        ("version: 1", "version: one", "line 2: 'version': Input should be a valid integer"),
        ("name: shop\n", "name: shop\nname: shop\n", "line 2: Expected 'name' once, found it"),
        ("key: 1", "key: '!'", "line 6: Expected one of a-z 0-9, found '!'"),
        ("aliases: [tshirt]", "aliases: [tshirt", "line 12: Expected YAML"),
    ],
)
def test_an_error_names_line_and_cure(tmp_path: Path, before: str, after: str, told: str) -> None:
    assert before in GOOD
    with pytest.raises(TaxonomyError) as raised:
        read_taxonomy(written(tmp_path, GOOD.replace(before, after, 1)))
    assert f"shop.yaml, {told}" in str(raised.value)


@pytest.mark.parametrize("text", ["", "- a\n", "categories: []\n", "a: &a [*a]\n", "\t"])
def test_what_is_no_taxonomy_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(TaxonomyError, match=r"shop\.yaml, line 1"):
        read_taxonomy(written(tmp_path, text))


def test_a_file_that_is_not_there_is_an_operators_error(tmp_path: Path) -> None:
    with pytest.raises(TaxonomyError, match="Name another file"):
        read_taxonomy(tmp_path / "none.yaml")
    with pytest.raises(TaxonomyError, match="Expected one of clothing-17, fashion-mnist"):
        shipped("shop")
