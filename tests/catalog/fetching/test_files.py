"""Only regular files under allowed roots are read, whatever a path looks like."""

import os
import socket
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.failures import FailureCode, FetchFailure
from catalog.fetching.fetcher import Fetcher, FetchLimits
from catalog.fetching.files import parse_path

PHOTO = b"\xff\xd8\xff" + bytes(500)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    root.mkdir()
    (root / "a b.jpg").write_bytes(PHOTO)
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    return root


def fetcher(*roots: Path, bytes_max: int = 1_000) -> Fetcher:
    return Fetcher(FetchLimits(bytes_max=bytes_max), roots)


def refused(uri: str, *roots: Path, bytes_max: int = 1_000) -> FetchFailure:
    with pytest.raises(FetchFailure) as caught:
        fetcher(*roots, bytes_max=bytes_max).fetch(uri)
    assert caught.value.detail.endswith(".")
    return caught.value


def test_a_file_is_read_by_uri_and_by_path(root: Path) -> None:
    photo = root / "a b.jpg"
    spellings = [
        str(photo),
        photo.as_uri(),
        photo.as_uri().replace("file:///", "file://localhost/"),
        photo.as_uri().replace("file:///", "FILE:/"),
        f"{root}/sub/../a b.jpg",
    ]
    for uri in spellings:
        assert fetcher(root).fetch(uri) == PHOTO, uri


@pytest.mark.parametrize("name", ["100%.jpg", "a?b#c.jpg", "é.jpg", "a:b.jpg"])
def test_odd_names_are_read_both_ways(root: Path, name: str) -> None:
    (root / name).write_bytes(PHOTO)
    assert fetcher(root).fetch((root / name).as_uri()) == PHOTO
    assert fetcher(root).fetch(str(root / name)) == PHOTO


def test_any_of_several_roots_will_do(root: Path, tmp_path: Path) -> None:
    assert fetcher(tmp_path / "missing", root).fetch(str(root / "a b.jpg")) == PHOTO


def test_nothing_is_allowed_without_a_root(root: Path) -> None:
    assert refused(str(root / "a b.jpg")).code is FailureCode.FORBIDDEN_PATH


@pytest.mark.parametrize(
    "path",
    [
        "../secret.jpg",
        "sub/../../secret.jpg",
        "link.jpg",
        "folder/secret.jpg",
        "chain.jpg",
        "../photos2/secret.jpg",
    ],
)
def test_no_path_leads_out_of_the_root(root: Path, tmp_path: Path, path: str) -> None:
    (root / "link.jpg").symlink_to("../secret.jpg")
    (root / "chain.jpg").symlink_to("link.jpg")
    (root / "folder").symlink_to(tmp_path)
    # A neighbour whose name begins like the root's.
    (tmp_path / "photos2").mkdir()
    (tmp_path / "photos2" / "secret.jpg").write_bytes(b"secret")
    for uri in (
        f"{root}/{path}",
        f"file://{root}/{path}",
        f"file://{root}/{path}".replace(".", "%2e"),
    ):
        failure = refused(uri, root)
        assert failure.code is FailureCode.FORBIDDEN_PATH, uri
        assert "TAGGER_ALLOWED_ROOTS" in failure.detail


def test_nobody_learns_what_exists_outside(root: Path, tmp_path: Path) -> None:
    there = refused(f"{tmp_path}/secret.jpg", root)
    not_there = refused(f"{tmp_path}/nothing.jpg", root)
    assert there.code is not_there.code is FailureCode.FORBIDDEN_PATH
    assert there.detail.replace("secret", "nothing") == not_there.detail


def test_links_inside_the_root_are_followed(root: Path) -> None:
    (root / "sub").mkdir()
    (root / "sub" / "again.jpg").symlink_to("../a b.jpg")
    (root / "other").symlink_to("sub")
    assert fetcher(root).fetch(f"{root}/other/again.jpg") == PHOTO


def test_a_root_that_is_a_link_may_move_on(root: Path, tmp_path: Path) -> None:
    current = tmp_path / "current"
    current.symlink_to(root)
    images = fetcher(current)
    assert images.fetch(f"{current}/a b.jpg") == PHOTO
    release = tmp_path / "release"
    release.mkdir()
    (release / "a b.jpg").write_bytes(b"new")
    current.unlink()
    current.symlink_to(release)
    assert images.fetch(f"{current}/a b.jpg") == b"new"


def test_swapping_a_folder_for_a_link_never_leads_outside(root: Path, tmp_path: Path) -> None:
    """An attacker flips a folder between a real one and a link to outside, as fast as it goes."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x.jpg").write_bytes(b"secret")
    good = root / "good"
    good.mkdir()
    (good / "x.jpg").write_bytes(PHOTO)
    (root / "bad").symlink_to(outside)
    place, aside = root / "folder", root / "aside"
    good.rename(place)
    stop = threading.Event()

    def flip() -> None:
        while not stop.is_set():
            place.rename(aside)
            (root / "bad").rename(place)
            place.rename(root / "bad")
            aside.rename(place)

    attacker = threading.Thread(target=flip)
    attacker.start()
    images, seen, codes = fetcher(root), set(), set()
    try:
        ends_at = time.monotonic() + 0.7
        while time.monotonic() < ends_at:
            try:
                seen.add(images.fetch(f"{place}/x.jpg"))
            except FetchFailure as failure:
                codes.add(failure.code)
    finally:
        stop.set()
        attacker.join()
    assert seen == {PHOTO}
    # Unreadable, and tried again: it was a link when it was listed, and none when it was followed.
    assert codes <= {
        FailureCode.FORBIDDEN_PATH,
        FailureCode.NOT_FOUND,
        FailureCode.FILE_UNREADABLE,
    }


@pytest.mark.timeout(30)
def test_what_is_no_regular_file_is_refused_without_waiting(root: Path) -> None:
    os.mkfifo(root / "pipe.jpg")
    (root / "zero.jpg").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listener:
        # A relative path, as the address of a socket may be no longer than 107 bytes.
        here = Path.cwd()
        os.chdir(root)
        try:
            listener.bind("socket.jpg")
        finally:
            os.chdir(here)
        # Opening the pipe would wait for a writer for ever, and reading the device never end.
        for name in ("pipe.jpg", "socket.jpg", "zero.jpg", "."):
            assert refused(f"{root}/{name}", root).code is FailureCode.FORBIDDEN_PATH, name


def test_a_device_under_an_allowed_root_is_refused() -> None:
    assert refused("/dev/zero", Path("/dev")).code is FailureCode.FORBIDDEN_PATH


def test_what_is_not_there_is_not_found(root: Path) -> None:
    assert refused(f"{root}/nothing.jpg", root).code is FailureCode.NOT_FOUND
    assert refused(f"{root}/no/thing.jpg", root).code is FailureCode.NOT_FOUND
    assert refused(f"{root}/a b.jpg/thing.jpg", root).code is FailureCode.NOT_FOUND
    (root / "dangling.jpg").symlink_to("nothing.jpg")
    assert refused(f"{root}/dangling.jpg", root).code is FailureCode.NOT_FOUND


def test_a_circle_of_links_is_refused(root: Path) -> None:
    (root / "one").symlink_to("two")
    (root / "two").symlink_to("one")
    assert refused(f"{root}/one/x.jpg", root).code in (
        FailureCode.FORBIDDEN_PATH,
        FailureCode.NOT_FOUND,
    )


def test_a_file_is_read_up_to_the_limit_and_not_beyond(root: Path) -> None:
    (root / "large.jpg").write_bytes(bytes(1_001))
    (root / "sparse.jpg").touch()
    os.truncate(root / "sparse.jpg", 1 << 40)
    uri = f"{root}/large.jpg"
    assert fetcher(root, bytes_max=1_001).fetch(uri) == bytes(1_001)
    assert refused(uri, root).code is FailureCode.TOO_MANY_BYTES
    assert refused(f"{root}/sparse.jpg", root).code is FailureCode.TOO_MANY_BYTES


def test_a_file_that_says_it_is_empty_and_goes_on_is_cut_off() -> None:
    # Files of /proc have a size of 0 and more than 10 bytes.
    failure = refused("/proc/self/status", Path("/proc"), bytes_max=10)
    assert failure.code is FailureCode.TOO_MANY_BYTES


def _open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_no_descriptor_stays_open(root: Path) -> None:
    (root / "sub").mkdir()
    (root / "sub" / "x.jpg").write_bytes(PHOTO)
    images = fetcher(root)
    before = _open_descriptors()
    for _ in range(20):
        images.fetch(f"{root}/sub/x.jpg")
        for missing in ("sub/y.jpg", "sub", "../secret.jpg"):
            with pytest.raises(FetchFailure):
                images.fetch(f"{root}/{missing}")
    assert _open_descriptors() == before


@pytest.mark.parametrize(
    "uri",
    [
        "photos/a.jpg",
        "a.jpg",
        "",
        "file://server/share/a.jpg",
        "file:a.jpg",
        "file:///a%00.jpg",
        "/a\0.jpg",
        "file:///a.jpg?x=1",
        "/" + "a" * 300,
    ],
    ids=lambda uri: repr(uri)[:20],
)
def test_what_is_no_absolute_path_is_said_to_be_none(uri: str) -> None:
    assert refused(uri, Path("/")).code is FailureCode.INVALID_URI


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_a_uri_made_of_a_path_names_that_path(name: str) -> None:
    path = Path("/photos") / name.replace("/", "_")
    assert parse_path(path.as_uri()) == path


@given(st.text())
def test_no_uri_fails_in_another_way_than_with_a_failure(uri: str) -> None:
    with pytest.raises(FetchFailure):
        Fetcher(FetchLimits(), [], resolve=lambda name, port: []).fetch(uri)
