from collections import Counter

import pytest

from catalog.taxonomy.model import Taxonomy
from review.confusion import FEW, SHOWN_MAX, Confusion, confusion
from tests.taxonomies import FASHION_MNIST, taxonomy
from tests.wardrobe import WARDROBE

COUNTS = {
    ("t-shirt", "t-shirt"): 5,
    ("t-shirt", "polo"): 2,
    ("sneaker", "boot"): 1,
    ("sneaker", "bad_image"): 3,
}


def numbers(found: Confusion) -> dict[tuple[str, str], int]:
    return {
        (row, column): cell.count
        for row, cells in found.rows
        for column, cell in zip(found.columns, cells, strict=True)
        if cell.count
    }


def test_few_categories_are_all_shown_one_by_one() -> None:
    found = confusion(FASHION_MNIST, {("coat", "shirt"): 2})
    assert [row for row, _ in found.rows] == [FASHION_MNIST.name_of(x) for x in FASHION_MNIST.ids]
    assert found.columns[-2:] == ("not in the taxonomy", "bad image")
    assert numbers(found) == {("Coat", "Shirt"): 2}


def test_many_are_folded_by_parent_and_opened_one_by_one() -> None:
    assert len(WARDROBE.ids) > FEW
    folded = confusion(WARDROBE, COUNTS)
    assert numbers(folded) == {
        ("Tops", "Tops"): 7, ("Footwear", "Footwear"): 1, ("Footwear", "bad image"): 3,
    }  # fmt: skip
    opened = confusion(WARDROBE, COUNTS, ["all-tops", "nonsense"])
    assert numbers(opened) == {
        ("T-shirt", "T-shirt"): 5, ("T-shirt", "Polo"): 2,
        ("Footwear", "Footwear"): 1, ("Footwear", "bad image"): 3,
    }  # fmt: skip
    fold = {each.name: each for each in opened.folds}
    assert (fold["Tops"].is_open, fold["Tops"].then_open) == (True, ())
    assert fold["Bags"].then_open == ("all-tops", "all-bags")


@pytest.mark.parametrize("opened", [None, (), WARDROBE.parents])
def test_no_count_is_lost_in_folding(opened: tuple[str, ...] | None) -> None:
    counts = COUNTS | {("of-an-older-model", "t-shirt"): 4}
    assert sum(numbers(confusion(WARDROBE, counts, opened)).values()) == sum(counts.values())


def test_flat_taxonomy_of_five_hundred_fits_a_page() -> None:
    flat: Taxonomy = taxonomy(*(f"c{number}" for number in range(500)))
    counts = Counter({(f"c{n}", f"c{(n + 1) % 500}"): 500 - n for n in range(500)})
    found = confusion(flat, counts)
    assert len(found.rows) == SHOWN_MAX
    assert found.rows[-1][0] == "461 others"
    assert sum(numbers(found).values()) == sum(counts.values())
