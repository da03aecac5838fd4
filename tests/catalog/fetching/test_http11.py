"""What counts as a response and its end, byte by byte, and which connections are kept."""

from collections.abc import Iterable
from typing import Any

import httpcore
import pytest

from catalog.fetching.http11 import HEAD_BYTES_MAX, KeptConnections, Response

PLACE = (b"http", b"a.shop", 80)


class Stream(httpcore.NetworkStream):
    """Says what it is given, one piece a read, and then that the host has gone."""

    def __init__(self, pieces: Iterable[bytes] = ()) -> None:
        self._pieces = list(pieces)
        self.is_readable = self.is_closed = False

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    def close(self) -> None:
        self.is_closed = True

    def get_extra_info(self, info: str) -> Any:
        assert info == "is_readable"
        return self.is_readable


def read(*pieces: bytes, method: str = "GET") -> tuple[Response, bytes]:
    response = Response(Stream(pieces), method, 1.0)
    response.read_head()
    return response, b"".join(response.body())


def test_a_response_is_read_however_it_is_cut() -> None:
    whole = b'HTTP/1.1 200 OK\r\nETag: "7"\r\nContent-Length: 5\r\n\r\nimage'
    for cut in range(1, len(whole)):
        response, body = read(whole[:cut], whole[cut:])
        assert (response.status, response.headers["etag"], body) == (200, '"7"', b"image")
        assert response.may_stay_open


@pytest.mark.parametrize(
    ("pieces", "body", "stays"),
    [
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nima\r\n2\r\nge\r\n0\r\n\r\n"],
         b"image", True),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nimage\r\n0\r\nX: y\r\n\r\n"],
         b"image", True),
        ([b"HTTP/1.1 200 OK\r\n\r\nima", b"ge"], b"image", False),  # until the connection ends
        ([b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nimage"], b"image", False),
        ([b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nimage"],
         b"image", False),
        ([b"HTTP/1.1 200\nContent-Length: 5\n\nimage"], b"image", True),  # old servers' line ends
        ([b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
          b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nimage"], b"image", True),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], b"", True),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nimage+"], b"image", False),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"imageHTTP/1.1 200 OK\r\n"],
         b"image", False),
    ],
    ids=["chunked", "trailer", "no length", "1.0", "close", "line feeds", "hints", "204", "more",
         "another"],
)  # fmt: skip
def test_the_body_ends_where_it_says_and_only_a_clean_connection_stays(
    pieces: list[bytes], body: bytes, stays: bool
) -> None:
    response, found = read(*pieces)
    assert found == body
    assert response.may_stay_open is stays


def test_headers_of_hints_and_trailers_are_not_the_responses() -> None:
    hints = b'HTTP/1.1 103 Early Hints\r\nETag: "hint"\r\n\r\n'
    chunked = (
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nETag: "t"\r\n\r\n'
    )
    response, body = read(hints, chunked)
    assert "etag" not in response.headers
    assert body == b"x"


def test_an_answer_to_head_has_no_body_and_leaves_the_connection_open() -> None:
    response, body = read(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", method="HEAD")
    assert body == b""
    assert response.may_stay_open
    response, _ = read(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nimage", method="HEAD")
    assert not response.may_stay_open


def test_a_response_that_was_not_read_to_its_end_closes_its_connection() -> None:
    response = Response(
        Stream([b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nno su"]), "GET", 1.0
    )
    response.read_head()
    assert not response.may_stay_open


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [b"SSH-2.0-OpenSSH\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nimage"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nima"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nima"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfour\r\n"],
        [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\n", *[b"X: " + b"x" * 8_192 + b"\r\n"] * (HEAD_BYTES_MAX // 8_192)],
        [b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100] * (HEAD_BYTES_MAX // 2_800 + 1),
    ],
    ids=["nothing", "nonsense", "two lengths", "length and chunks", "short", "short chunk",
         "no chunk", "upgrade", "endless head", "endless hints"],
)  # fmt: skip
def test_what_is_no_whole_response_is_an_error(pieces: list[bytes]) -> None:
    with pytest.raises(httpcore.RemoteProtocolError):
        read(*pieces)


def test_the_connection_used_last_is_used_first_and_the_oldest_goes() -> None:
    kept = KeptConnections(2, 60.0)
    first, second, third = Stream(), Stream(), Stream()
    for stream in (first, second, third):
        kept.keep(PLACE, stream)
    assert first.is_closed
    assert kept.take(PLACE) is third
    assert kept.take(PLACE) is second
    assert kept.take(PLACE) is None
    assert kept.take((b"https", b"a.shop", 443)) is None


def test_a_connection_that_has_something_to_say_or_waited_too_long_is_not_used() -> None:
    kept = KeptConnections(8, 60.0)
    good, gone = Stream(), Stream()
    gone.is_readable = True
    kept.keep(PLACE, good)
    kept.keep(PLACE, gone)
    assert kept.take(PLACE) is good
    assert gone.is_closed
    short = KeptConnections(8, 0.0)
    old = Stream()
    short.keep(PLACE, old)
    assert short.take(PLACE) is None
    assert old.is_closed


def test_all_are_closed_at_the_end() -> None:
    kept = KeptConnections(8, 60.0)
    streams = [Stream(), Stream()]
    for number, stream in enumerate(streams):
        kept.keep((b"http", b"a.shop", number), stream)
    kept.close()
    assert all(stream.is_closed for stream in streams)
    assert kept.take((b"http", b"a.shop", 0)) is None
