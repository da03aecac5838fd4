"""Smaller renditions are asked for where a host makes them, and nowhere else."""

import socket

import pytest

from catalog.errors import SettingsError
from catalog.fetching.fetcher import Fetcher, FetchLimits
from catalog.fetching.variants import Variants
from catalog.settings import read_settings
from tests.catalog.fetching.fetchers import LOOPBACK
from tests.catalog.fetching.hosts import Host, host, ok, response


@pytest.mark.parametrize(
    ("entry", "host", "path", "query", "target"),
    [
        ("a.shop{path}?width=400", "a.shop", "/b/c.jpg", None, "/b/c.jpg?width=400"),
        ("a.shop{path}?width=400", "a.shop", "/c.jpg", "v=17", "/c.jpg?width=400&v=17"),
        ("*.shop{path}?w=4", "img.a.shop", "/c.jpg", None, "/c.jpg?w=4"),
        ("A.Shop{path}", "a.shop", "/c.jpg", "v=1", "/c.jpg?v=1"),
        ("a.shop/cdn-cgi/image/w=4{path}", "a.shop", "/c.jpg", None, "/cdn-cgi/image/w=4/c.jpg"),
        ("a.shop{path}?w=4", "b.shop", "/c.jpg", None, None),
        ("a.shop{path}?w=4", "img.a.shop", "/c.jpg", None, None),
        ("*.a.shop{path}?w=4", "a.shop", "/c.jpg", None, None),
        ("*.a.shop{path}?w=4", "evila.shop", "/c.jpg", None, None),
    ],
)
def test_a_rendition_has_the_templates_address_at_its_own_host(
    entry: str, host: str, path: str, query: str | None, target: str | None
) -> None:
    assert Variants([entry]).target(host, path, query) == target


@pytest.mark.parametrize(
    "entry",
    [
        "?width=400",
        "a.shop?width=400",
        "a.shop{path}{path}",
        "a.shop{path}?w={width}",
        "a.shop{path}#top",
        "a.shop{path}?a b",
        "*{path}?w=4",
        "https://a.shop{path}?w=4",
        "a.shop/fixed.jpg",
    ],
)
def test_a_template_that_cannot_work_is_refused_at_the_start(entry: str) -> None:
    with pytest.raises(SettingsError, match="TAGGER_IMAGE_VARIANT"):
        read_settings(image_variant=(entry,))


def fetcher(entry: str) -> Fetcher:
    limits = FetchLimits(
        allowed_networks=LOOPBACK, allowed_ports=("1-65535",), image_variant=(entry,)
    )
    return Fetcher(limits, [])


def asked(images: Host) -> list[str]:
    return [request.split(b" ", 2)[1].decode() for request in images.requests]


def test_the_host_is_asked_for_the_rendition_and_redirects_are_followed_as_they_are() -> None:
    def answer(connection: socket.socket, request: bytes) -> bool:
        moved = b"/photo.jpg" in request
        reply = response("302 Found", b"", "Location: /moved.jpg") if moved else ok(b"small")
        connection.sendall(reply)
        return False

    with host(answer) as images:
        small = fetcher("127.0.0.1{path}?width=400")
        assert small.fetch(images.url("/photo.jpg?v=2")) == b"small"
        assert asked(images) == ["/photo.jpg?width=400&v=2", "/moved.jpg"]
        small.close()


def test_a_validator_is_the_renditions() -> None:
    def answer(connection: socket.socket, request: bytes) -> bool:
        connection.sendall(ok(b"x", 'ETag: "7"'))
        return False

    with host(answer) as images:
        small, large = fetcher("127.0.0.1{path}?w=4"), fetcher("other.host{path}?w=4")
        uri = images.url("/photo.jpg")
        known = small.fetch_validated(uri).validator
        assert known is not None
        assert known != large.fetch_validated(uri).validator
        small.close()
        large.close()
