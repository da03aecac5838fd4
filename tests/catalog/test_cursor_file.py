"""The number from which an export goes on."""

from pathlib import Path

import pytest

from catalog.cursor_file import read_cursor, write_cursor
from catalog.errors import OperatorError


def test_what_was_written_last_is_read(tmp_path: Path) -> None:
    path = tmp_path / "cursor"
    write_cursor(path, 7)
    write_cursor(path, 12)
    assert read_cursor(path) == 12
    assert [each.name for each in tmp_path.iterdir()] == ["cursor"]


def test_nothing_written_yet_is_no_number(tmp_path: Path) -> None:
    assert read_cursor(tmp_path / "cursor") is None
    assert read_cursor(None) is None


@pytest.mark.parametrize("content", ["", "-1", "twelve", "١٢", "1 2"])
def test_anything_but_a_number_is_refused_with_what_to_do(tmp_path: Path, content: str) -> None:
    path = tmp_path / "cursor"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(OperatorError, match="Correct or delete it"):
        read_cursor(path)
