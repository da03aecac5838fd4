"""What tells that a picture is the same, and what is not trusted to."""

import os
import socket
import time
from pathlib import Path

import pytest

from catalog.fetching.fetcher import Fetcher, FetchLimits
from tests.catalog.fetching.fetchers import PHOTO, Fetchers
from tests.catalog.fetching.hosts import Answer, host, ok, response, saying

OLD = (1e9, 1e9)


def answering(body: bytes, *headers: str) -> Answer:
    """A host that knows HEAD."""

    def answer(connection: socket.socket, request: bytes) -> bool:
        whole = ok(body, *headers)
        head = whole[: len(whole) - len(body)]
        connection.sendall(head if request.startswith(b"HEAD ") else whole)
        return True

    return answer


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a.jpg"
    path.write_bytes(PHOTO)
    os.utime(path, OLD)
    return path


def read(path: Path) -> tuple[str | None, str | None]:
    fetcher = Fetcher(FetchLimits(), (path.parent,))
    return fetcher.fetch_validated(path.as_uri()).validator, fetcher.validator(path.as_uri())


def test_untouched_file_is_known_again(picture: Path) -> None:
    fetched, asked = read(picture)
    assert fetched is not None
    assert fetched == asked


def test_file_of_the_same_size_and_time_is_another_where_it_was_replaced(picture: Path) -> None:
    before, _ = read(picture)
    other = picture.with_name("b.jpg")
    other.write_bytes(PHOTO[::-1])
    os.utime(other, OLD)
    other.replace(picture)
    assert read(picture)[1] not in (None, before)


def test_file_of_the_same_size_and_time_is_another_where_it_was_rewritten(picture: Path) -> None:
    before, _ = read(picture)
    time.sleep(0.02)  # more than a tick of the clock that stamps changes
    picture.write_bytes(PHOTO[::-1])
    os.utime(picture, OLD)
    assert read(picture)[1] not in (None, before)


def test_fresh_file_has_no_validator(picture: Path) -> None:
    os.utime(picture)
    assert read(picture) == (None, None)


def test_strong_tag_is_a_validator_and_head_asks_for_it_without_the_body(make: Fetchers) -> None:
    with host(answering(PHOTO, 'ETag: "abc"')) as images:
        fetcher = make()
        fetched = fetcher.fetch_validated(images.url())
        assert fetched.data == PHOTO
        assert fetched.validator is not None
        assert fetcher.validator(images.url()) == fetched.validator
        assert [each.split()[0] for each in images.requests] == [b"GET", b"HEAD"]
        assert images.connections == 1, "what HEAD leaves on the connection is nothing"
        assert fetcher.validator(images.url("/other.jpg")) != fetched.validator


@pytest.mark.parametrize("header", ['ETag: W/"abc"', "ETag: abc", 'ETag: ""', "X-Tag: 1"])
def test_weak_or_broken_tag_tells_nothing(make: Fetchers, header: str) -> None:
    with host(answering(PHOTO, header)) as images:
        assert make().fetch_validated(images.url()).validator is None
        assert make().validator(images.url()) is None


@pytest.mark.parametrize("status", ["403 Forbidden", "404 Not Found", "405 No", "500 Oh"])
def test_host_that_refuses_head_is_asked_for_the_picture_itself(
    make: Fetchers, status: str
) -> None:
    with host(saying(response(status, b"", 'ETag: "abc"'))) as images:
        assert make().validator(images.url()) is None


def test_answer_after_a_redirect_has_no_validator(make: Fetchers) -> None:
    with host(answering(PHOTO, 'ETag: "abc"')) as images:
        moved = response("302 Found", b"", f"Location: {images.url()}")
        with host(saying(moved)) as front:
            fetched = make().fetch_validated(front.url())
            assert (fetched.data, fetched.validator) == (PHOTO, None)
            assert make().validator(front.url()) is None


def test_host_that_is_away_tells_nothing(make: Fetchers) -> None:
    with host(saying(b"")) as images:
        url = images.url()
    assert make().validator(url) is None
