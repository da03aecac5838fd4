"""Fetching over real connections: reuse, bounds on concurrency, answers."""

import itertools
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from catalog.failures import FailureCode
from catalog.fetching.fetcher import Fetcher, FetchLimits
from tests.catalog.fetching.fetchers import PHOTO, Fetchers, refused
from tests.catalog.fetching.hosts import HANGS_S, host, ok, response, saying


def test_the_bytes_arrive(make: Fetchers) -> None:
    with host(saying(ok(PHOTO))) as images:
        assert make().fetch(images.url("/a%20b.jpg?w=800#top")) == PHOTO
        request = images.requests[0].decode()
    assert request.startswith("GET /a%20b.jpg?w=800 HTTP/1.1\r\n")
    assert f"Host: 127.0.0.1:{images.port}\r\n" in request
    assert "Accept-Encoding: identity\r\n" in request
    assert "ookie" not in request


def test_connections_are_reused(make: Fetchers) -> None:
    with host(saying(ok(PHOTO), stays=True)) as images:
        fetcher = make()
        for _ in range(20):
            assert fetcher.fetch(images.url()) == PHOTO
        assert len(images.requests) == 20
        assert images.connections == 1


def test_a_kept_connection_that_the_host_closed_is_opened_anew(make: Fetchers) -> None:
    turns = itertools.count()

    def answer_then_hang_up(connection: socket.socket, request: bytes) -> bool:
        # Each connection serves one request, keeps quiet, and drops the second unanswered.
        if next(turns) % 2 == 0:
            connection.sendall(ok(PHOTO))
            return True
        return False

    with host(answer_then_hang_up) as images:
        fetcher = make()
        assert fetcher.fetch(images.url()) == PHOTO
        assert fetcher.fetch(images.url()) == PHOTO
        assert images.connections == 2


@pytest.mark.parametrize(("per_host", "in_all", "expected"), [(2, 8, 2), (8, 3, 3)])
def test_no_more_connections_are_busy_than_allowed(
    make: Fetchers, per_host: int, in_all: int, expected: int
) -> None:
    def slowly(connection: socket.socket, request: bytes) -> bool:
        time.sleep(0.05)
        connection.sendall(ok(PHOTO))
        return True

    with host(slowly) as images, ThreadPoolExecutor(10) as pool:
        fetcher = make(connections_per_host_max=per_host, connections_max=in_all)
        fetched = list(pool.map(fetcher.fetch, [images.url()] * 20))
        assert fetched == [PHOTO] * 20
        assert images.most_at_once == images.connections == expected


def test_a_busy_host_does_not_hold_up_another(make: Fetchers) -> None:
    released = threading.Event()

    def stuck(connection: socket.socket, request: bytes) -> bool:
        released.wait(HANGS_S)
        connection.sendall(ok(PHOTO))
        return False

    resolve = {"slow.test": ["127.0.0.1"], "quick.test": ["127.0.0.1"]}
    fetcher = make(resolve=lambda name, port: resolve[name], connections_per_host_max=1)
    with host(stuck) as slow, host(saying(ok(PHOTO))) as quick, ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(fetcher.fetch, slow.url(name="slow.test")) for _ in range(2)]
        assert fetcher.fetch(quick.url(name="quick.test")) == PHOTO
        assert not any(each.done() for each in waiting)
        released.set()
        assert [each.result() for each in waiting] == [PHOTO] * 2


def test_ipv6_hosts_are_reached_and_named_in_brackets(make: Fetchers) -> None:
    with host(saying(ok(PHOTO)), address="::1") as images:
        fetcher = make(allowed_networks=("::1/128",))
        assert fetcher.fetch(images.url(name="[::1]")) == PHOTO
        assert f"Host: [::1]:{images.port}\r\n".encode() in images.requests[0]


def test_the_next_address_is_tried_when_one_does_not_answer(make: Fetchers) -> None:
    with host(saying(ok(PHOTO)), address="127.0.0.2") as images:
        # Nobody listens on that port of 127.0.0.3.
        fetcher = make(resolve=lambda name, port: ["127.0.0.3", "127.0.0.2"])
        assert fetcher.fetch(images.url(name="shop.test")) == PHOTO


def test_proxies_of_the_environment_are_not_used(
    make: Fetchers, monkeypatch: pytest.MonkeyPatch
) -> None:
    with host(saying(ok(PHOTO))) as images, host(saying(response("502 Bad"))) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url("/"))
        assert make().fetch(images.url()) == PHOTO
        assert proxy.connections == 0


def test_cookies_are_not_kept(make: Fetchers) -> None:
    with host(saying(ok(PHOTO, "Set-Cookie: id=7"), stays=True)) as images:
        fetcher = make()
        fetcher.fetch(images.url())
        fetcher.fetch(images.url())
        assert b"id=7" not in images.requests[1]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("404 Not Found", FailureCode.NOT_FOUND),
        ("410 Gone", FailureCode.NOT_FOUND),
        ("401 Unauthorized", FailureCode.HTTP_CLIENT_ERROR),
        ("403 Forbidden", FailureCode.HTTP_CLIENT_ERROR),
        ("408 Timeout", FailureCode.FETCH_TIMEOUT),
        ("429 Slow down", FailureCode.RATE_LIMITED),
        ("500 Oops", FailureCode.HTTP_SERVER_ERROR),
        ("503 Away", FailureCode.HTTP_SERVER_ERROR),
        ("204 No Content", FailureCode.UNEXPECTED_RESPONSE),
        ("206 Partial", FailureCode.UNEXPECTED_RESPONSE),
        ("304 Not Modified", FailureCode.UNEXPECTED_RESPONSE),
        ("302 Without location", FailureCode.UNEXPECTED_RESPONSE),
    ],
)
def test_every_status_has_its_code(make: Fetchers, status: str, code: FailureCode) -> None:
    with host(saying(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())) as images:
        failure = refused(make(), images.url())
    assert failure.code is code
    assert status[:3] in failure.detail


@pytest.mark.parametrize("status", ["429 Slow down", "503 Away"])
def test_retry_after_is_handed_on(make: Fetchers, status: str) -> None:
    with host(saying(response(status, b"", "Retry-After: 120"))) as images:
        assert refused(make(), images.url()).retry_after_s == 120.0


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", FailureCode.UNEXPECTED_RESPONSE),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000, FailureCode.UNEXPECTED_RESPONSE),
        (b"", FailureCode.CONNECTION_FAILED),
    ],
    ids=["ssh", "endless header", "hang up"],
)
def test_what_is_no_http_is_said_to_be_none(make: Fetchers, said: bytes, code: FailureCode) -> None:
    with host(saying(said)) as images:
        assert refused(make(), images.url()).code is code


def test_nobody_listening_is_a_failed_connection(make: Fetchers) -> None:
    with host(saying(b"")) as gone:
        pass
    failure = refused(make(), gone.url())
    assert failure.code is FailureCode.CONNECTION_FAILED
    assert failure.code.transient


def test_making_a_fetcher_connects_to_nothing(tmp_path: Path) -> None:
    Fetcher(FetchLimits(), [tmp_path]).close()
