"""Where connections may go, first and after every redirect."""

import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from catalog.failures import FailureCode
from tests.catalog.fetching.fetchers import LOOPBACK, PHOTO, Fetchers, refused
from tests.catalog.fetching.hosts import Host, host, ok, response, saying


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


def test_only_allowed_ports_are_connected_to_also_after_a_redirect(make: Fetchers) -> None:
    with host(saying(ok(PHOTO))) as images:
        for ports in (("80", "443"), (), (str(images.port + 1),), (f"1-{images.port - 1}",)):
            fetcher = make(allowed_ports=ports)
            failure = refused(fetcher, images.url())
            assert failure.code is FailureCode.FORBIDDEN_ADDRESS
            assert "TAGGER_ALLOWED_PORTS" in failure.detail
            assert fetcher.validator(images.url()) is None
        bounce = response("302 Found", b"", f"Location: {images.url()}")
        with host(saying(bounce)) as other:
            failure = refused(make(allowed_ports=(str(other.port),)), other.url())
        assert failure.code is FailureCode.FORBIDDEN_ADDRESS
        assert images.connections == 0
        for ports in ((str(images.port),), ("1-2", f"{images.port}-{images.port}")):
            assert make(allowed_ports=ports).fetch(images.url()) == PHOTO


def test_a_host_with_an_emoji_in_its_name_works(make: Fetchers) -> None:
    asked: list[str] = []

    def resolve(name: str, port: int) -> list[str]:
        asked.append(name)
        return ["127.0.0.1"]

    with host(saying(ok(PHOTO))) as images:
        assert make(resolve=resolve).fetch(images.url(name="👗.Shop.test")) == PHOTO
        assert f"Host: xn--8p8h.shop.test:{images.port}".encode() in images.requests[0]
        there = images.url(name="☃.test").encode()
        bounce = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + there + b"\r\n\r\n"
        with host(saying(bounce)) as other:
            assert make(resolve=resolve).fetch(other.url(name="bücher.test")) == PHOTO
    assert asked == ["xn--8p8h.shop.test", "xn--bcher-kva.test", "xn--n3h.test"]
