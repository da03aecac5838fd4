"""Fetching over real connections to real hosts, honest and hostile."""

import gzip
import itertools
import socket
import ssl
import time
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import trustme

from catalog.failures import FailureCode, FetchFailure
from tests.worker.fetching.hosts import Host, host, ok, response, saying
from worker.fetching.connecting import Resolve, resolve_with_system
from worker.fetching.fetcher import Fetcher, FetchLimits

PHOTO = bytes(range(256)) * 40
LOOPBACK = ("127.0.0.0/8",)


class Fetchers:
    """Makes fetchers that may reach loopback, and closes them."""

    def __init__(self) -> None:
        self._made: list[Fetcher] = []

    def __call__(
        self,
        *,
        resolve: Resolve = resolve_with_system,
        ssl_context: ssl.SSLContext | None = None,
        allowed_networks: tuple[str, ...] = LOOPBACK,
        bytes_max: int = 100_000,
        total_timeout_s: float = 5.0,
        redirects_max: int = 3,
        connections_per_host_max: int = 4,
        connections_max: int = 8,
    ) -> Fetcher:
        limits = FetchLimits(
            bytes_max=bytes_max,
            total_timeout_s=total_timeout_s,
            connect_timeout_s=2.0,
            redirects_max=redirects_max,
            connections_per_host_max=connections_per_host_max,
            connections_max=connections_max,
            allowed_networks=allowed_networks,
        )
        fetcher = Fetcher(limits, [], resolve=resolve, ssl_context=ssl_context)
        self._made.append(fetcher)
        return fetcher

    def close(self) -> None:
        for fetcher in self._made:
            fetcher.close()


@pytest.fixture
def make() -> Iterator[Fetchers]:
    fetchers = Fetchers()
    yield fetchers
    fetchers.close()


def refused(fetcher: Fetcher, uri: str) -> FetchFailure:
    with pytest.raises(FetchFailure) as caught:
        fetcher.fetch(uri)
    assert caught.value.detail.endswith(".")
    return caught.value


# What works


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
    def stuck(connection: socket.socket, request: bytes) -> bool:
        time.sleep(0.6)
        connection.sendall(ok(PHOTO))
        return False

    resolve = {"slow.test": ["127.0.0.1"], "quick.test": ["127.0.0.1"]}
    fetcher = make(resolve=lambda name, port: resolve[name], connections_per_host_max=1)
    with host(stuck) as slow, host(saying(ok(PHOTO))) as quick, ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(fetcher.fetch, slow.url(name="slow.test")) for _ in range(2)]
        started = time.monotonic()
        assert fetcher.fetch(quick.url(name="quick.test")) == PHOTO
        assert time.monotonic() - started < 0.5
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


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def _server_context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def _trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def test_tls_names_and_verifies_the_host_and_not_its_address(
    make: Fetchers, authority: trustme.CA
) -> None:
    context = _server_context(authority, "images.test")
    named: list[str | None] = []
    context.sni_callback = lambda connection, name, _: named.append(name)
    fetcher = make(resolve=lambda name, port: ["127.0.0.1"], ssl_context=_trusting(authority))
    with host(saying(ok(PHOTO), stays=True), context=context) as images:
        for _ in range(3):
            assert fetcher.fetch(images.url(name="images.test", scheme="https")) == PHOTO
        assert named == ["images.test"]
        assert images.connections == 1


def test_a_certificate_of_another_host_is_refused(make: Fetchers, authority: trustme.CA) -> None:
    context = _server_context(authority, "other.test")
    fetcher = make(resolve=lambda name, port: ["127.0.0.1"], ssl_context=_trusting(authority))
    with host(saying(ok(PHOTO)), context=context) as images:
        failure = refused(fetcher, images.url(name="images.test", scheme="https"))
    assert failure.code is FailureCode.TLS_FAILED
    assert "images.test" in failure.detail


def test_an_unknown_authority_is_refused_by_default(make: Fetchers, authority: trustme.CA) -> None:
    context = _server_context(authority, "images.test")
    fetcher = make(resolve=lambda name, port: ["127.0.0.1"])
    with host(saying(ok(PHOTO)), context=context) as images:
        failure = refused(fetcher, images.url(name="images.test", scheme="https"))
    assert failure.code is FailureCode.TLS_FAILED


def test_a_host_that_speaks_no_tls_is_a_failed_connection(make: Fetchers) -> None:
    with host(saying(ok(PHOTO))) as images:
        failure = refused(make(total_timeout_s=0.5), images.url(scheme="https"))
    assert failure.code in (FailureCode.CONNECTION_FAILED, FailureCode.FETCH_TIMEOUT)


# Where connections may go


def test_loopback_is_refused_unless_allowed_and_never_touched(make: Fetchers) -> None:
    with host(saying(ok(PHOTO))) as images:
        for name in ("127.0.0.1", "localhost", "127.1", "0x7f.0.0.1", "2130706433"):
            failure = refused(make(allowed_networks=()), images.url(name=name))
            assert failure.code is FailureCode.FORBIDDEN_ADDRESS
            assert "TAGGER_ALLOWED_NETWORKS" in failure.detail
        assert images.connections == 0


def test_a_mapped_loopback_address_is_refused_even_where_loopback_is_allowed(
    make: Fetchers,
) -> None:
    with host(saying(ok(PHOTO))) as images:
        failure = refused(make(), images.url(name="[::ffff:127.0.0.1]"))
        assert failure.code is FailureCode.FORBIDDEN_ADDRESS
        assert images.connections == 0


def test_one_forbidden_address_among_good_ones_refuses_the_host(make: Fetchers) -> None:
    with host(saying(ok(PHOTO))) as images:
        fetcher = make(
            resolve=lambda name, port: ["127.0.0.1", "10.0.0.1"], allowed_networks=LOOPBACK
        )
        failure = refused(fetcher, images.url(name="shop.test"))
        assert failure.code is FailureCode.FORBIDDEN_ADDRESS
        assert "10.0.0.1" in failure.detail
        assert images.connections == 0


class Rebinding:
    """A name server that answers with a good address once, and then with a bad one."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, name: str, port: int) -> Sequence[str]:
        self.asked += 1
        return ["127.0.0.2"] if self.asked == 1 else ["127.0.0.1"]


def _same_port_on_both(secret: Host) -> socket.socket:
    return socket.create_server(("127.0.0.2", secret.port))


def test_a_rebinding_name_is_resolved_once_and_the_checked_address_connected_to(
    make: Fetchers,
) -> None:
    rebinding = Rebinding()
    fetcher = make(resolve=rebinding, allowed_networks=("127.0.0.2/32",))
    with host(saying(ok(b"secret"))) as secret:
        with _same_port_on_both(secret) as public:
            public.settimeout(5)
            with ThreadPoolExecutor(1) as pool:
                fetched = pool.submit(fetcher.fetch, secret.url(name="rebind.test"))
                connection, _ = public.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(ok(PHOTO, "Connection: close"))
                assert fetched.result(5) == PHOTO
        assert rebinding.asked == 1
        # The next connection asks anew, and is refused.
        failure = refused(fetcher, secret.url(name="rebind.test"))
        assert failure.code is FailureCode.FORBIDDEN_ADDRESS
        assert rebinding.asked == 2
        assert secret.connections == 0


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 Temp", "308 Perm"])
def test_redirects_are_followed(make: Fetchers, status: str) -> None:
    def answer(connection: socket.socket, request: bytes) -> bool:
        first = request.startswith(b"GET /photo.jpg ")
        connection.sendall(response(status, b"", "Location: next?x=1") if first else ok(PHOTO))
        return False

    with host(answer) as images:
        assert make().fetch(images.url()) == PHOTO
        assert images.requests[1].startswith(b"GET /next?x=1 ")


def test_a_redirect_to_a_forbidden_address_is_refused(make: Fetchers) -> None:
    with host(saying(ok(b"secret")), address="127.0.0.9") as secret:
        bounce = response("302 Found", b"", f"Location: {secret.url(name='127.0.0.9')}")
        with host(saying(bounce)) as images:
            failure = refused(make(allowed_networks=("127.0.0.1/32",)), images.url())
        assert failure.code is FailureCode.FORBIDDEN_ADDRESS
        assert secret.connections == 0


@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("file:///etc/passwd", FailureCode.UNKNOWN_SCHEME),
        ("gopher://127.0.0.1/", FailureCode.UNKNOWN_SCHEME),
        ("http://user:secret@127.0.0.1/", FailureCode.INVALID_URI),
        ("http://[::1", FailureCode.INVALID_URI),
    ],
)
def test_a_redirect_is_checked_like_a_first_url(
    make: Fetchers, location: str, code: FailureCode
) -> None:
    with host(saying(response("302 Found", b"", f"Location: {location}"))) as images:
        failure = refused(make(), images.url())
    assert failure.code is code
    assert "secret" not in failure.detail


def test_endless_redirects_end(make: Fetchers) -> None:
    with host(saying(response("302 Found", b"", "Location: /again"))) as images:
        failure = refused(make(redirects_max=3), images.url())
        assert failure.code is FailureCode.TOO_MANY_REDIRECTS
        assert len(images.requests) == 4


@pytest.mark.parametrize(
    "uri",
    [
        "http://user:secret@shop.test/a.jpg",
        "http://user@shop.test/a.jpg",
        "http://",
        "http:///a.jpg",
        "http://shop.test:0/a.jpg",
        "http://shop.test:99999/a.jpg",
        "http://[::1/a.jpg",
        "http:shop.test",
    ],
)
def test_urls_that_make_no_sense_are_refused_unasked(make: Fetchers, uri: str) -> None:
    def resolve(name: str, port: int) -> Sequence[str]:
        raise AssertionError(name)

    failure = refused(make(resolve=resolve), uri)
    assert failure.code is FailureCode.INVALID_URI
    assert "secret" not in failure.detail


def test_a_name_that_does_not_exist_is_permanent_and_a_silent_name_server_is_not(
    make: Fetchers,
) -> None:
    def unknown(name: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    def silent(name: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    url = "http://shop.test/a.jpg"
    assert refused(make(resolve=unknown), url).code is FailureCode.UNKNOWN_HOST
    assert refused(make(resolve=lambda name, port: []), url).code is FailureCode.UNKNOWN_HOST
    assert refused(make(resolve=silent), url).code is FailureCode.CONNECTION_FAILED
    too_long = f"http://{'a' * 70}.test/"
    assert refused(make(), too_long).code is FailureCode.UNKNOWN_HOST


# Time


def within(limit_s: float, fetcher: Fetcher, uri: str) -> FailureCode:
    started = time.monotonic()
    failure = refused(fetcher, uri)
    assert time.monotonic() - started < limit_s
    return failure.code


def test_a_name_server_that_hangs_is_not_waited_for(make: Fetchers) -> None:
    def hangs(name: str, port: int) -> Sequence[str]:
        time.sleep(3)
        return ["127.0.0.1"]

    fetcher = make(resolve=hangs, total_timeout_s=0.3)
    assert within(1, fetcher, "http://shop.test/") is FailureCode.FETCH_TIMEOUT


@pytest.mark.parametrize("part", ["status", "headers", "body", "nothing"])
def test_a_slow_drip_is_cut_off_in_whatever_part_it_drips(make: Fetchers, part: str) -> None:
    starts = {
        "status": b"HT",
        "headers": b"HTTP/1.1 200 OK\r\nX-",
        "body": b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n",
        "nothing": b"",
    }

    def drip(connection: socket.socket, request: bytes) -> bool:
        connection.sendall(starts[part])
        for _ in range(20):
            # Every read of the client succeeds well within its own timeout.
            if part != "nothing":
                connection.sendall(b"a")
            time.sleep(0.05)
        return False

    with host(drip) as images:
        code = within(1.2, make(total_timeout_s=0.5), images.url())
    assert code is FailureCode.FETCH_TIMEOUT


def test_endless_interim_responses_are_cut_off(make: Fetchers) -> None:
    def hints(connection: socket.socket, request: bytes) -> bool:
        while True:
            connection.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 10)
            time.sleep(0.01)

    with host(hints) as images:
        code = within(1.2, make(total_timeout_s=0.5), images.url())
    assert code is FailureCode.FETCH_TIMEOUT


def test_redirects_share_one_time_budget(make: Fetchers) -> None:
    def bounce(connection: socket.socket, request: bytes) -> bool:
        time.sleep(0.2)
        connection.sendall(response("302 Found", b"", "Location: /again"))
        return False

    with host(bounce) as images:
        code = within(1.2, make(total_timeout_s=0.5, redirects_max=50), images.url())
    assert code is FailureCode.FETCH_TIMEOUT


def test_waiting_for_a_free_connection_counts_as_time(make: Fetchers) -> None:
    def stuck(connection: socket.socket, request: bytes) -> bool:
        time.sleep(1)
        return False

    with host(stuck) as images, ThreadPoolExecutor(3) as pool:
        fetcher = make(connections_per_host_max=1, total_timeout_s=0.4)
        started = time.monotonic()
        codes = list(pool.map(lambda url: refused(fetcher, url).code, [images.url()] * 3))
        assert time.monotonic() - started < 0.9
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


# Bytes


def test_too_many_bytes_are_refused_by_their_announcement(make: Fetchers) -> None:
    def announce(connection: socket.socket, request: bytes) -> bool:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100001\r\n\r\n")
        time.sleep(1)
        return False

    with host(announce) as images:
        assert within(0.8, make(), images.url()) is FailureCode.TOO_MANY_BYTES


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


# Answers


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
