"""Images over http and https.

No client library stands in between: cookies, credentials, environment proxies, redirects and
unpacking are all things that must not happen here.
"""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property

import certifi
import httpcore
import httpx

from catalog.failures import FailureCode, FetchFailure
from catalog.fetching.addresses import AddressRules
from catalog.fetching.connecting import CheckedBackend, Resolve, resolve_with_system
from catalog.fetching.deadline import Deadline, current_deadline, fetching_until
from catalog.fetching.host_names import host_of, with_ascii_host
from catalog.fetching.http11 import KeptConnections, Place, Response
from catalog.fetching.limits import FetchLimits
from catalog.fetching.responses import REDIRECTS, Body, failure_of
from catalog.fetching.slots import ConnectionSlots, Slot
from catalog.fetching.validators import Fetched, of_response
from catalog.fetching.variants import Variants
from catalog.redaction import shown_uri

# A connection that idles for longer is closed: servers close theirs after 5 to 75 s, and one that
# was closed meanwhile costs a request that is sent again.
KEEPALIVE_EXPIRY_S = 30.0
SCHEMES = ("http", "https")
# How a host says that it is asked for too much at once, in words and without.
BUSY = {429, 503}
SILENT = {FailureCode.FETCH_TIMEOUT, FailureCode.CONNECTION_FAILED}
# The same for all hosts and fetches, so that a host which chooses by it always sends the same.
_HEADERS = (
    b"User-Agent: catalog-tagger",
    b"Accept: image/jpeg,image/png,image/webp;q=0.9,image/*;q=0.8,*/*;q=0.5",
    b"Accept-Encoding: identity",
)


class HttpSource:
    """Fetches http and https URLs, with connections kept for all threads of a process."""

    def __init__(
        self,
        limits: FetchLimits,
        slots: ConnectionSlots,
        resolve: Resolve = resolve_with_system,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._limits = limits
        self._backend = CheckedBackend(
            AddressRules(limits.allowed_networks), resolve, limits.connect_timeout_s
        )
        self._given_ssl_context = ssl_context
        self._slots = slots
        self._variants = Variants(limits.image_variant)
        # The slots bound what is busy; this only what is kept for later.
        self._kept = KeptConnections(limits.connections_max, KEEPALIVE_EXPIRY_S)

    def fetch_validated(self, uri: str, slot: Slot | None = None) -> Fetched:
        """The bytes behind a URL; with a validator, unless it redirects.

        slot: one that was taken ahead, for the host of the URL.

        Raises:
            FetchFailure: with the code that says why not.
        """
        deadline = Deadline(self._limits.total_timeout_s)
        url = self._rendition(parse_url(uri))
        with fetching_until(deadline):
            for hop in range(self._limits.redirects_max + 1):
                with self._slots.hold(host_of(url), deadline, slot):
                    answer = self._get(url, slot)
                if isinstance(answer, Fetched):
                    return answer if hop == 0 else Fetched(data=answer.data)
                if (url.scheme, answer.scheme) == ("https", "http"):
                    self._check_downgrade(url, answer)
                url = answer
        raise FetchFailure(
            FailureCode.TOO_MANY_REDIRECTS,
            f"Expected the image after at most {self._limits.redirects_max} redirects from "
            f"{shown_uri(uri)}, found one more. Give the URI that the redirects end at.",
        )

    def validator(self, uri: str) -> str | None:
        """What a HEAD request tells of the picture; None where it tells nothing.

        A host that refuses HEAD, redirects it or does not answer is no failure: asking for the
        picture itself will tell.

        Raises:
            FetchFailure: the URL is none.
        """
        deadline = Deadline(self._limits.total_timeout_s)
        url = self._rendition(parse_url(uri))
        with fetching_until(deadline):
            try:
                with (
                    self._slots.hold(host_of(url), deadline),
                    self._response(url, "HEAD") as response,
                ):
                    told = of_response(str(url), response.headers)
                    return told if response.status == 200 else None
            except (FetchFailure, _NoResponseError):
                return None

    def _rendition(self, url: httpx.URL) -> httpx.URL:
        """The address of the picture as small as its host makes it, where it does."""
        path, _, query = url.raw_path.decode("ascii").partition("?")
        target = self._variants.target(host_of(url), path, query)
        return url if target is None else url.copy_with(raw_path=target.encode("ascii"))

    def close(self) -> None:
        """Close all kept connections."""
        self._kept.close()

    @cached_property
    def _ssl_context(self) -> ssl.SSLContext:
        # Reading the certificates takes some 20 ms: only when the first URL comes.
        context = self._given_ssl_context or trusted()
        context.set_alpn_protocols(["http/1.1"])
        return context

    def _check_downgrade(self, url: httpx.URL, target: httpx.URL) -> None:
        """What https protected, signatures in the URL too, would go on in the open."""
        if not self._limits.redirects_to_http:
            raise FetchFailure(
                FailureCode.FORBIDDEN_ADDRESS,
                f"Expected {host_of(url)} to redirect to https, found a redirect to http on "
                f"{host_of(target)}. Give the URI that it ends at, or set "
                "TAGGER_REDIRECTS_TO_HTTP.",
            )

    def _check_port(self, url: httpx.URL) -> None:
        """Other services than image hosts listen elsewhere, and some of them obey a GET."""
        port = url.port or (443 if url.scheme == "https" else 80)
        if not self._limits.allows_port(port):
            raise FetchFailure(
                FailureCode.FORBIDDEN_ADDRESS,
                f"Expected {host_of(url)} on port {', '.join(self._limits.allowed_ports)}, found "
                f"port {port}. If images may come from there, add it to TAGGER_ALLOWED_PORTS.",
            )

    def _get(self, url: httpx.URL, slot: Slot | None) -> Fetched | httpx.URL:
        """The image, or where to look next."""
        try:
            return self._get_once(url, slot)
        except _NoResponseError:
            # A kept connection may have been closed while the request was on its way: ask anew.
            try:
                return self._get_once(url, slot)
            except _NoResponseError as error:
                raise error.failure from error

    def _get_once(self, url: httpx.URL, slot: Slot | None) -> Fetched | httpx.URL:
        with self._paced(url) as told, self._response(url) as response:
            told(response.status)
            headers = response.headers
            if response.status in REDIRECTS and "location" in headers:
                return parse_url(_join(url, headers["location"]))
            failure = failure_of(response.status, headers.get("retry-after"), str(url))
            if failure is not None:
                raise failure
            body = Body(self._limits.bytes_max, headers.get("content-encoding"))
            expected = body.announce(headers.get("content-length"))
            if slot is not None:
                slot.expect(expected, current_deadline())
            for chunk in response.body():
                body.add(chunk)
            return Fetched(data=body.whole(), validator=of_response(str(url), headers))

    @contextmanager
    def _paced(self, url: httpx.URL) -> Iterator[Callable[[int], None]]:
        """Tell the slots how the host bears what it is asked for; yields what is told a status."""
        host, began = host_of(url), self._slots.now()

        def told(status: int) -> None:
            (self._slots.refused if status in BUSY else self._slots.answered)(host, began)

        try:
            yield told
        except FetchFailure as failure:
            if failure.code in SILENT:
                self._slots.refused(host, began, silently=True)
            raise

    @contextmanager
    def _response(self, url: httpx.URL, method: str = "GET") -> Iterator[Response]:
        """Send the request; what goes wrong until the block ends becomes a FetchFailure."""
        self._check_port(url)
        place = (url.raw_scheme, url.raw_host, url.port or (443 if url.scheme == "https" else 80))
        began = stays = False
        stream: httpcore.NetworkStream | None = None
        try:
            stream = self._kept.take(place) or self._connect(place)
            response = Response(stream, method, self._limits.total_timeout_s)
            # A host may answer before it has read the request, and then read no more.
            with suppress(httpcore.WriteError):
                stream.write(_request(method, url), self._limits.total_timeout_s)
            response.read_head()
            began = True
            yield response
            stays = response.may_stay_open
        except httpcore.TimeoutException as error:
            raise current_deadline().passed() from error
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise _broken_off(url, error, began) from error
        finally:
            if stream is not None and stays:
                self._kept.keep(place, stream)
            elif stream is not None:
                stream.close()

    def _connect(self, place: Place) -> httpcore.NetworkStream:
        scheme, host, port = place
        name, timeout_s = host.decode("ascii"), self._limits.total_timeout_s
        stream = self._backend.connect_tcp(name, port, timeout_s)
        if scheme != b"https":
            return stream
        try:
            return stream.start_tls(self._ssl_context, name, timeout_s)
        except BaseException:
            stream.close()
            raise


class _NoResponseError(Exception):
    """A connection was there, and no response came over it."""

    def __init__(self, failure: FetchFailure) -> None:
        super().__init__(str(failure))
        self.failure = failure


def parse_url(uri: str) -> httpx.URL:
    """Check a URL before anything is looked up.

    Raises:
        FetchFailure: invalid_uri, or unknown_scheme after a redirect.
    """
    try:
        url = httpx.URL(with_ascii_host(uri))
    except (httpx.InvalidURL, ValueError) as error:
        raise _invalid(uri, _kind(error)) from None
    if url.scheme not in SCHEMES:
        raise FetchFailure(
            FailureCode.UNKNOWN_SCHEME,
            f"Expected a redirect to http or https, found one to {url.scheme[:20]!r}. "
            "Check the URI in a browser.",
        )
    if not url.raw_host:
        raise _invalid(uri, "no host")
    if url.userinfo:
        raise _invalid(uri, "a user name or password")
    if url.port is not None and not 1 <= url.port <= 65535:
        raise _invalid(uri, f"port {url.port}")
    return url


def _join(url: httpx.URL, location: str) -> str:
    try:
        return str(url.join(with_ascii_host(location)))
    except (httpx.InvalidURL, ValueError) as error:
        raise _invalid(location, f"{_kind(error)}, in a redirect from {host_of(url)}") from None


def _request(method: str, url: httpx.URL) -> bytes:
    lines = [
        b"%b %b HTTP/1.1" % (method.encode("ascii"), url.raw_path),
        b"Host: " + url.netloc,
        *_HEADERS,
        b"",
        b"",
    ]
    return b"\r\n".join(lines)


def _invalid(uri: str, found: str) -> FetchFailure:
    return FetchFailure(
        FailureCode.INVALID_URI,
        "Expected a URL such as https://host/picture.jpg, found "
        f"{shown_uri(uri)[:200]!r} ({found}). Correct the URI.",
    )


def _kind(error: Exception) -> str:
    """What httpx complains of; the rest may be a piece of a password that it took for a port."""
    return str(error).partition(":")[0]


def _broken_off(url: httpx.URL, error: Exception, began: bool) -> Exception:
    """Tell a host that hung up early, one that hung up halfway, and one that talks nonsense."""
    found = str(error).rstrip(".") or type(error).__name__
    if began:
        return FetchFailure(
            FailureCode.INCOMPLETE_DOWNLOAD,
            f"Expected the whole image from {host_of(url)}, found that it broke off: {found}. "
            "It is tried again; look at the image host if this stays.",
        )
    failed = FetchFailure(
        FailureCode.CONNECTION_FAILED,
        f"Expected an answer from {host_of(url)}, found: {found}. "
        "It is tried again; look at the image host if this stays.",
    )
    if isinstance(error, httpcore.ConnectError):
        return failed
    if isinstance(error, httpcore.NetworkError) or "disconnected" in found:
        return _NoResponseError(failed)
    return _NoResponseError(
        FetchFailure(
            FailureCode.UNEXPECTED_RESPONSE,
            f"Expected an HTTP response from {host_of(url)}, found: {found}. "
            "Check the URI in a browser.",
        )
    )


def trusted() -> ssl.SSLContext:
    """This machine's authorities (or SSL_CERT_FILE), and certifi's where an image lacks its own."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context
