"""TLS names and verifies the host, never its address."""

import ssl

import pytest
import trustme

from catalog.failures import FailureCode
from catalog.fetching.fetcher import Fetcher
from tests.catalog.fetching.fetchers import PHOTO, Fetchers, refused
from tests.catalog.fetching.hosts import host, ok, response, saying


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


def test_a_redirect_from_https_to_http_is_followed_only_where_it_is_allowed(
    make: Fetchers, authority: trustme.CA
) -> None:
    context = _server_context(authority, "images.test")

    def fetcher(allowed: bool) -> Fetcher:
        return make(
            resolve=lambda name, port: ["127.0.0.1"],
            ssl_context=_trusting(authority),
            redirects_to_http=allowed,
        )

    with host(saying(ok(PHOTO))) as plain:
        bounce = saying(response("302 Found", b"", f"Location: {plain.url(name='plain.test')}"))
        with host(bounce, context=context) as images:
            start = images.url(name="images.test", scheme="https")
            failure = refused(fetcher(False), start)
            assert failure.code is FailureCode.FORBIDDEN_ADDRESS
            assert "TAGGER_REDIRECTS_TO_HTTP" in failure.detail
            assert plain.connections == 0
            assert fetcher(True).fetch(start) == PHOTO
        with host(bounce) as images:
            assert fetcher(False).fetch(images.url()) == PHOTO
