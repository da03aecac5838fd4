"""Hostile hosts cost a bounded time and a bounded number of bytes."""

import gzip
import itertools
import socket
import threading
import time
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from catalog.failures import FailureCode
from catalog.fetching.fetcher import Fetcher
from tests.catalog.fetching.fetchers import PHOTO, Fetchers, refused
from tests.catalog.fetching.hosts import HANGS_S, PROMPT_S, hang, host, ok, response, saying


def promptly(fetcher: Fetcher, uri: str) -> FailureCode:
    """The code of a failure that comes long before the host would have been done."""
    started = time.monotonic()
    failure = refused(fetcher, uri)
    assert time.monotonic() - started < PROMPT_S
    return failure.code


def test_a_name_server_that_hangs_is_not_waited_for(make: Fetchers) -> None:
    answered = threading.Event()

    def hangs(name: str, port: int) -> Sequence[str]:
        answered.wait(HANGS_S)
        return ["127.0.0.1"]

    fetcher = make(resolve=hangs, total_timeout_s=0.3)
    try:
        assert promptly(fetcher, "http://shop.test/") is FailureCode.FETCH_TIMEOUT
    finally:
        answered.set()


@pytest.mark.parametrize("part", ["status", "headers", "body", "nothing"])
def test_a_slow_drip_is_cut_off_in_whatever_part_it_drips(make: Fetchers, part: str) -> None:
    starts = {
        "status": b"HTTP/1.1 200 ",
        "headers": b"HTTP/1.1 200 OK\r\nX-",
        "body": b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n",
        "nothing": b"",
    }

    def drip(connection: socket.socket, request: bytes) -> bool:
        connection.sendall(starts[part])
        for _ in range(round(HANGS_S / 0.05)):
            if part == "nothing":
                hang(connection)
                break
            # Every read of the client succeeds well within its own timeout.
            connection.sendall(b"a")
            time.sleep(0.05)
        return False

    with host(drip) as images:
        code = promptly(make(total_timeout_s=0.5), images.url())
    assert code is FailureCode.FETCH_TIMEOUT


def test_endless_interim_responses_are_cut_off(make: Fetchers) -> None:
    def hints(connection: socket.socket, request: bytes) -> bool:
        while True:
            connection.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 10)
            time.sleep(0.01)

    with host(hints) as images:
        code = promptly(make(total_timeout_s=0.5), images.url())
    assert code is FailureCode.FETCH_TIMEOUT


def test_redirects_share_one_time_budget(make: Fetchers) -> None:
    def bounce(connection: socket.socket, request: bytes) -> bool:
        time.sleep(0.2)
        connection.sendall(response("302 Found", b"", "Location: /again"))
        return False

    with host(bounce) as images:
        code = promptly(make(total_timeout_s=0.5, redirects_max=500), images.url())
    assert code is FailureCode.FETCH_TIMEOUT


def test_waiting_for_a_free_connection_counts_as_time(make: Fetchers) -> None:
    def stuck(connection: socket.socket, request: bytes) -> bool:
        hang(connection)
        return False

    with host(stuck) as images, ThreadPoolExecutor(3) as pool:
        fetcher = make(connections_per_host_max=1, total_timeout_s=0.8)
        started = time.monotonic()
        codes = list(pool.map(lambda url: refused(fetcher, url).code, [images.url()] * 3))
        assert time.monotonic() - started < PROMPT_S
    assert set(codes) == {FailureCode.FETCH_TIMEOUT}


def test_a_connection_that_was_cut_off_is_not_used_again(make: Fetchers) -> None:
    turns = itertools.count()

    def answer(connection: socket.socket, request: bytes) -> bool:
        if next(turns) == 0:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nlate")
            time.sleep(0.6)
            connection.sendall(b"-late")
        else:
            connection.sendall(ok(PHOTO))
        return True

    with host(answer) as images:
        fetcher = make(total_timeout_s=0.4)
        assert refused(fetcher, images.url()).code is FailureCode.FETCH_TIMEOUT
        assert fetcher.fetch(images.url()) == PHOTO
        assert images.connections == 2


def test_too_many_bytes_are_refused_by_their_announcement(make: Fetchers) -> None:
    def announce(connection: socket.socket, request: bytes) -> bool:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100001\r\n\r\n")
        hang(connection)
        return False

    with host(announce) as images:
        assert promptly(make(total_timeout_s=HANGS_S), images.url()) is FailureCode.TOO_MANY_BYTES


def test_too_many_bytes_without_announcement_are_cut_off(make: Fetchers) -> None:
    def endless(connection: socket.socket, request: bytes) -> bool:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(bytes(10_000))

    with host(endless) as images:
        assert refused(make(), images.url()).code is FailureCode.TOO_MANY_BYTES


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate"])
def test_a_packed_response_is_unpacked_once(make: Fetchers, encoding: str) -> None:
    packed = zlib.compress(PHOTO) if encoding == "deflate" else gzip.compress(PHOTO)
    with host(saying(ok(packed, f"Content-Encoding: {encoding}"))) as images:
        assert make().fetch(images.url()) == PHOTO


def test_a_gzip_bomb_is_not_unpacked(make: Fetchers) -> None:
    bomb = gzip.compress(bytes(90_000_000))
    assert len(bomb) < 100_000
    with host(saying(ok(bomb, "Content-Encoding: gzip"))) as images:
        assert refused(make(), images.url()).code is FailureCode.TOO_MANY_BYTES


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (gzip.compress(gzip.compress(PHOTO)), "gzip, gzip"),
        (PHOTO, "br"),
        (PHOTO, "gzip"),
        (gzip.compress(PHOTO)[:-20], "gzip"),
    ],
    ids=["twice", "brotli", "not packed", "cut short"],
)
def test_other_packings_are_refused(make: Fetchers, body: bytes, encoding: str) -> None:
    with host(saying(ok(body, f"Content-Encoding: {encoding}"))) as images:
        assert refused(make(), images.url()).code is FailureCode.UNEXPECTED_RESPONSE


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n" + PHOTO,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n800\r\n" + PHOTO[:2048] + b"\r\n",
    ],
    ids=["length", "chunks"],
)
def test_fewer_bytes_than_announced_are_an_incomplete_download(make: Fetchers, said: bytes) -> None:
    with host(saying(said)) as images:
        failure = refused(make(), images.url())
    assert failure.code is FailureCode.INCOMPLETE_DOWNLOAD
    assert failure.code.transient


@pytest.mark.parametrize("extra", [ok(b"shifted"), b"\r\n", b"0\r\n\r\n"])
@pytest.mark.parametrize("chunked", [False, True])
def test_more_bytes_than_announced_do_not_become_the_next_picture(
    make: Fetchers, chunked: bool, extra: bytes
) -> None:
    def answer(connection: socket.socket, request: bytes) -> bool:
        connection.sendall((_chunked(PHOTO) if chunked else ok(PHOTO)) + extra)
        return True

    with host(answer) as images:
        fetcher = make()
        assert fetcher.fetch(images.url()) == PHOTO
        assert fetcher.fetch(images.url()) == PHOTO


def test_chunked_responses_keep_their_connection(make: Fetchers) -> None:
    with host(saying(_chunked(PHOTO), stays=True)) as images:
        fetcher = make()
        assert [fetcher.fetch(images.url()) for _ in range(5)] == [PHOTO] * 5
        assert images.connections == 1


def _chunked(body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"


@pytest.mark.parametrize("status", ["429 Later", "503 Busy"])
def test_a_host_that_is_asked_for_too_much_gets_fewer_connections(
    make: Fetchers, status: str
) -> None:
    fetcher = make(connections_per_host_max=8)
    with host(saying(response(status))) as busy, host(saying(response("500 Oops"))) as odd:
        before = fetcher.slots.limit("127.0.0.1")
        refused(fetcher, odd.url())
        assert fetcher.slots.limit("127.0.0.1") == before == 8
        for expected in (4, 2, 1, 1):
            refused(fetcher, busy.url())
            assert fetcher.slots.limit("127.0.0.1") == expected


def test_a_host_that_does_not_answer_gets_fewer_connections(make: Fetchers) -> None:
    fetcher = make(connections_per_host_max=8, total_timeout_s=0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert refused(fetcher, f"http://127.0.0.1:{port}/").code is FailureCode.FETCH_TIMEOUT
    assert fetcher.slots.limit("127.0.0.1") == 4
    assert refused(fetcher, f"http://127.0.0.1:{port}/").code is FailureCode.CONNECTION_FAILED
    assert fetcher.slots.limit("127.0.0.1") == 2
