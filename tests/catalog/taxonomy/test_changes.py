from catalog.taxonomy.changes import ChangeKind, changes, drafted_replacement, mapped, touched
from catalog.taxonomy.model import Category, Replaced, Taxonomy
from tests.taxonomies import taxonomy

OLD = taxonomy("bag", "boot", "coat", "jumper", "pullover", "shirt", "skirt")
NEW = taxonomy(
    "bag", "belt", "coat", "pullover", "t-shirt", "formal-shirt", "jupe",
    version=2,
    replaces=Replaced(
        version=1,
        categories={
            "jumper": ("pullover",),
            "shirt": ("t-shirt", "formal-shirt"),
            "boot": (),
            "skirt": ("jupe",),
        },
    ),
)  # fmt: skip


def test_each_label_goes_where_the_mapping_says() -> None:
    assert mapped(OLD, NEW) == {
        "bag": "bag",
        "boot": None,
        "coat": "coat",
        "jumper": "pullover",
        "pullover": "pullover",
        "shirt": None,
        "skirt": "jupe",
    }
    assert touched(OLD, NEW) == ("boot", "shirt")


def test_every_kind_of_change_is_named() -> None:
    found = {(each.kind, each.before, each.after) for each in changes(OLD, NEW)}
    assert found == {
        (ChangeKind.REMOVED, ("boot",), ()),
        (ChangeKind.SPLIT, ("shirt",), ("t-shirt", "formal-shirt")),
        (ChangeKind.MERGED, ("jumper", "pullover"), ("pullover",)),
        (ChangeKind.RENAMED, ("skirt",), ("jupe",)),
        (ChangeKind.ADDED, (), ("belt",)),
    }


def test_another_name_of_the_same_id_is_a_rename_that_moves_no_label() -> None:
    new = Taxonomy(
        name="shop",
        version=2,
        categories=(Category(id="bag", name="Handbag"), Category(id="coat", name="Coat")),
    )
    old = taxonomy("bag", "coat")
    assert [each.kind for each in changes(old, new)] == [ChangeKind.RENAMED]
    assert mapped(old, new) == {"bag": "bag", "coat": "coat"}


def test_a_mapping_from_another_version_says_nothing() -> None:
    assert mapped(taxonomy("bag", "jumper", version=1), taxonomy("bag", "jumper", version=3)) == {
        "bag": "bag",
        "jumper": "jumper",
    }
    third = taxonomy("pullover", "bag", version=3, replaces=Replaced(version=2, categories={}))
    assert mapped(taxonomy("jumper", "bag"), third) == {"jumper": None, "bag": "bag"}


def test_the_draft_follows_names_and_aliases() -> None:
    new = Taxonomy(
        name="shop",
        version=2,
        categories=(
            Category(id="pullover", name="Pullover", aliases=("Jumper",)),
            Category(id="shirt", name="Shirts"),
            Category(id="formal", name="Formal", parent="shirt"),
            Category(id="casual", name="Casual", parent="shirt"),
        ),
    )
    drafted = drafted_replacement(taxonomy("jumper", "shirt", "boot"), new)
    assert drafted.categories == {
        "jumper": ("pullover",),
        "shirt": ("formal", "casual"),
        "boot": (),
    }
