import pytest

from catalog.taxonomy.checking import problems
from catalog.taxonomy.document import TaxonomyError, drafted, of_json, to_json
from catalog.taxonomy.files import shipped
from catalog.taxonomy.model import Category, Taxonomy
from tests.taxonomies import taxonomy
from trainer.fashion_mnist.classes import LABELS

CLOTHING = shipped("clothing-17")


def test_the_trainers_ten_classes_are_the_default_taxonomys_in_its_order() -> None:
    assert shipped("fashion-mnist").ids == LABELS


def test_parents_are_no_labels() -> None:
    assert len(CLOTHING.ids) == 17
    assert set(CLOTHING.parents) == {"tops", "jackets-and-coats", "bottoms"}
    assert "polo" in CLOTHING.below("tops")
    assert CLOTHING.path_of("polo") == "Tops > Polo"
    assert CLOTHING.name_of("shirt", "de") == "Hemd"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("t-shirt", "t-shirt"),
        ("T-SHIRT", "t-shirt"),
        ("tee", "t-shirt"),
        ("  T Shírt ", "t-shirt"),
        ("Tops > T-Shirt", "t-shirt"),
        ("Apparel > Tops", "tops"),
        ("Hemd", "shirt"),
        ("Jacken und Maentel", None),
        ("jacken und mantel", "jackets-and-coats"),
        ("car", None),
        ("", None),
        (" > ", None),
    ],
)
def test_a_category_is_found_by_id_name_alias_or_translation(text: str, found: str | None) -> None:
    assert CLOTHING.find(text) == found


def test_a_declared_parent_agrees_with_what_is_below_it() -> None:
    assert CLOTHING.agrees("tops", "t-shirt")
    assert CLOTHING.agrees("t-shirt", "t-shirt")
    assert not CLOTHING.agrees("bottoms", "t-shirt")
    assert not CLOTHING.agrees("t-shirt", "polo")


def test_categories_are_shown_by_order_and_then_as_they_stand() -> None:
    rows = (("a", None), ("b", 2), ("c", 1), ("d", None))
    made = Taxonomy(
        name="x",
        version=1,
        categories=tuple(Category(id=id_, name=id_, order=order) for id_, order in rows),
    )
    assert made.ids == ("c", "b", "a", "d")


def test_json_gives_back_what_was_written() -> None:
    assert of_json(to_json(CLOTHING)) == CLOTHING


def test_names_may_be_of_any_script() -> None:
    made = drafted(["シャツ", "がか", "かか", "Рубашка", "👗", "👟"])
    assert problems(made) == []
    assert len(set(made.ids)) == 6
    for label in made.ids:
        assert made.find(made.name_of(label)) == label


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (taxonomy("a"), "Expected 2 to 500 categories"),
        (taxonomy(*(f"c{number}" for number in range(501))), "found 501"),
        (taxonomy("a", "not_in_taxonomy"), "Expected another id than"),
        (taxonomy("a", "B"), "Expected 1 to 64 of a-z"),
        (taxonomy("a", "b" * 65), "Expected 1 to 64 of a-z"),
        (taxonomy("a", "b", "a"), "found 'a' twice"),
        (taxonomy("a-b", "a.b"), "names one category"),
        (taxonomy("a", "b", version=0), "Expected a version from 1 on"),
        (taxonomy("a", "b", name="Our shop"), "Choose another name"),
    ],
)
def test_what_must_not_serve_is_refused(made: Taxonomy, why: str) -> None:
    with pytest.raises(TaxonomyError, match=why):
        of_json(to_json(made))


def test_five_hundred_categories_of_64_characters_may_serve() -> None:
    made = taxonomy(*(f"{'c' * 61}{number:03d}" for number in range(500)))
    assert problems(made) == []
    assert len(made.ids) == 500


def test_a_ring_of_parents_is_refused() -> None:
    ring = (
        Category(id="a", name="A", parent="b"),
        Category(id="b", name="B", parent="a"),
        Category(id="c", name="C", parent="a"),
        Category(id="d", name="D", parent="nobody"),
    )
    found = [each.text for each in problems(Taxonomy(name="x", version=1, categories=ring))]
    assert any("found one that is below it" in each for each in found)
    assert any("found 'nobody'" in each for each in found)
