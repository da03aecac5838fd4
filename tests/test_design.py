"""docs/DESIGN.md names the rooms of the house: they must be there."""

import re
from pathlib import Path

PROJECT = Path(__file__).parents[1]
FILES_MAX = 4


def rows() -> dict[str, list[str]]:
    """What the table of new things says: the files that each one touches."""
    design = (PROJECT / "docs" / "DESIGN.md").read_text(encoding="utf-8")
    table = design.split("| a new … | is added in |")[1].split("\n\n")[0]
    cells = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    return {name: re.findall(r"`([^`]+)`", files) for name, files in cells}


def test_every_file_that_a_new_thing_touches_is_there() -> None:
    for name, files in rows().items():
        assert 1 <= len(files) <= FILES_MAX, name
        for file in files:
            assert (PROJECT / file).exists(), f"{name}: {file}"


def test_the_table_answers_what_people_ask() -> None:
    asked = {"setting", "metric", "task", "column", "retry rule", "order of review", "image source"}
    assert asked <= set(rows())


def test_every_package_of_the_house_is_named() -> None:
    design = (PROJECT / "docs" / "DESIGN.md").read_text(encoding="utf-8")
    house = design.split("## The house")[1].split("What a new one")[0]
    packages = {each.parent.name for each in PROJECT.glob("*/__init__.py")}
    assert packages <= set(re.findall(r"^(\w+)/", house, re.MULTILINE))
