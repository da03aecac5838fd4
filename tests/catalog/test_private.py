"""The embedded state is its owner's alone, also where it was not before."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog.private import private_file, private_folder


@pytest.fixture(autouse=True)
def careless() -> Iterator[None]:
    """A process that would let everybody read everything."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_new_folders_are_private_and_so_are_those_above_them(tmp_path: Path) -> None:
    private_folder(tmp_path / "state" / "queue")
    assert mode(tmp_path / "state") == mode(tmp_path / "state" / "queue") == 0o700


def test_a_folder_that_others_could_read_is_closed(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(0o755)
    private_folder(tmp_path / "state")
    assert mode(tmp_path / "state") == 0o700


def test_the_current_folder_those_above_it_and_shared_ones_keep_their_modes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project" / "here").mkdir(0o755, parents=True)
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o1777)
    monkeypatch.chdir(tmp_path / "project" / "here")
    for folder, wanted in (("project", 0o777), ("project/here", 0o755), ("shared", 0o1777)):
        private_folder(tmp_path / folder)
        assert mode(tmp_path / folder) == wanted


def test_a_file_and_what_sqlite_keeps_beside_it_are_closed(tmp_path: Path) -> None:
    for name in ("catalog.db", "catalog.db-wal", "other.db"):
        (tmp_path / name).write_bytes(b"kept")
        (tmp_path / name).chmod(0o644)
    private_file(tmp_path / "catalog.db")
    private_file(tmp_path / "new.db")
    assert [mode(tmp_path / name) for name in ("catalog.db", "catalog.db-wal", "new.db")] == [
        0o600
    ] * 3
    assert (tmp_path / "catalog.db").read_bytes() == b"kept"
    assert mode(tmp_path / "other.db") == 0o644
