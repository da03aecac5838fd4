import json
from pathlib import Path

from click.testing import CliRunner, Result

from catalog.cli import main
from catalog.settings import SHIPPED_BUNDLE
from catalog.taxonomy.files import read_taxonomy, to_yaml
from tests.taxonomies import taxonomy


def tagger(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["taxonomy", *arguments])


def test_show_names_categories_under_their_parents() -> None:
    shown = tagger("show", "clothing-17").stdout
    assert shown.splitlines()[0] == "clothing-17 1: 17 categories, 3 parents"
    assert "    Polo  polo  (polo shirt, google 212)" in shown.splitlines()
    assert "    Hemd  shirt" in tagger("show", "clothing-17", "--language", "de").stdout


def test_show_without_a_source_shows_what_serves() -> None:
    for arguments in ((), (str(SHIPPED_BUNDLE),), ("fashion-mnist",)):
        assert json.loads(tagger("show", *arguments, "--json").stdout)["name"] == "fashion-mnist"


def test_check_says_what_is_wrong_by_line(tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(to_yaml(taxonomy("bag", "coat")))
    assert tagger("check", str(path)).stdout == "shop 1 is sound: 2 categories, 0 parents.\n"
    path.write_text(to_yaml(taxonomy("bag", "Coat")))
    found = tagger("check", str(path))
    assert found.exit_code == 1
    assert "line 6: Expected 1 to 64 of a-z 0-9 . _ -, found 'Coat'" in found.output


def test_diff_drafts_the_mapping_that_a_new_version_carries(tmp_path: Path) -> None:
    old, new, drafted = (tmp_path / f"{name}.yaml" for name in ("old", "new", "drafted"))
    old.write_text(to_yaml(taxonomy("bag", "coat", "hat")))
    new.write_text(to_yaml(taxonomy("bag", "coat", "belt", version=2)))
    told = tagger("diff", str(old), str(new))
    assert told.stdout.splitlines() == [
        "removed   Hat (hat)",
        "added     Belt (belt)",
        "People are asked again about: hat.",
    ]
    assert "The mapping is drafted" in told.stderr
    drafted.write_text(tagger("diff", str(old), str(new), "--draft").stdout)
    made = read_taxonomy(drafted)
    assert made.replaces is not None
    assert made.replaces.categories == {"hat": ()}
    rows = json.loads(tagger("diff", str(old), str(drafted), "--json").stdout)
    assert rows["asked_again"] == ["hat"]
    assert rows["drafted"] is False
