"""Posting to receivers outside, through the same guards as pictures come.

Every address that the name resolves to is judged and one of just these connected to, ports are an
allow-list, certificates are verified, redirects are not followed, and all of it has one deadline.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import httpcore
import httpx

from catalog.failures import FailureCode, FetchFailure
from catalog.fetching.addresses import AddressRules
from catalog.fetching.connecting import CheckedBackend, Resolve, resolve_with_system
from catalog.fetching.deadline import Deadline, fetching_until
from catalog.fetching.host_names import host_of
from catalog.fetching.http import SCHEMES, parse_url, trusted
from catalog.fetching.limits import FetchLimits
from catalog.fetching.responses import REDIRECTS, parse_retry_after
from catalog.redaction import shown_uri

_HEADERS = {"User-Agent": "catalog-tagger", "Content-Type": "application/json"}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of a post. status: None where there was no answer.

    trouble: why it was not taken, in a sentence; None: it was, with a 2xx.
    """

    status: int | None
    trouble: str | None
    retry_after_s: float | None = None


class Poster:
    """Posts from any number of threads; each post has a connection of its own."""

    def __init__(
        self,
        limits: FetchLimits,
        timeout_s: float,
        *,
        resolve: Resolve = resolve_with_system,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._limits = limits
        self._timeout_s = timeout_s
        self._ssl_context = ssl_context
        rules = AddressRules(limits.allowed_networks)
        self._backend = CheckedBackend(rules, resolve, limits.connect_timeout_s)

    def check(self, url: str) -> None:
        """Refuse what could never be posted to, before anything is looked up.

        Raises:
            FetchFailure: the URL is none, or its port is not allowed.
        """
        if not url.lower().startswith(tuple(f"{scheme}://" for scheme in SCHEMES)):
            raise FetchFailure(
                FailureCode.UNKNOWN_SCHEME,
                "Expected a URL such as https://shop.example/hook, found "
                f"{shown_uri(url)[:200]!r}.",
            )
        parsed = parse_url(url)
        port = parsed.port or (443 if parsed.scheme == "https" else 80)
        if not self._limits.allows_port(port):
            raise FetchFailure(
                FailureCode.FORBIDDEN_ADDRESS,
                f"Expected {host_of(parsed)} on port {', '.join(self._limits.allowed_ports)}, "
                f"found port {port}. If webhooks may go there, add it to TAGGER_ALLOWED_PORTS.",
            )

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Post once; the answer's body is not read, whatever it is."""
        try:
            with fetching_until(Deadline(self._timeout_s)):
                self.check(url)
                return self._post(parse_url(url), headers, body)
        except FetchFailure as failure:
            return Answer(status=None, trouble=self._sentence(failure))
        except httpcore.TimeoutException:
            return Answer(status=None, trouble=self._late())
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            found = str(error).rstrip(".") or type(error).__name__
            return Answer(status=None, trouble=f"Expected an HTTP response, found: {found}.")

    def _post(self, url: httpx.URL, headers: Mapping[str, str], body: bytes) -> Answer:
        sent = {"Host": url.netloc.decode("ascii"), **_HEADERS, **headers}
        target = httpcore.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
        )
        timeouts = dict.fromkeys(("connect", "read", "write", "pool"), self._timeout_s)
        with (
            httpcore.ConnectionPool(
                ssl_context=self._trusted, network_backend=self._backend, max_connections=1
            ) as pool,
            pool.stream(
                "POST", target, headers=list(sent.items()), content=body,
                extensions={"timeout": timeouts},
            ) as response,
        ):  # fmt: skip
            return _answer(response.status, httpx.Headers(response.headers))

    @cached_property
    def _trusted(self) -> ssl.SSLContext:
        return self._ssl_context or trusted()

    def _late(self) -> str:
        return f"Expected an answer within {self._timeout_s:g} s, found none."

    def _sentence(self, failure: FetchFailure) -> str:
        """What failed, without what is said to those who fetch pictures."""
        if failure.code is FailureCode.FETCH_TIMEOUT:
            return self._late()
        found = failure.detail.partition(" It is tried again")[0].partition(" If images may")[0]
        if failure.code is FailureCode.FORBIDDEN_ADDRESS and "TAGGER_" not in found:
            found += " If webhooks may go there, add its network to TAGGER_ALLOWED_NETWORKS."
        return found


def _answer(status: int, headers: httpx.Headers) -> Answer:
    if 200 <= status < 300:
        return Answer(status=status, trouble=None)
    found = f"status {status}"
    if status in REDIRECTS:
        found += ", a redirect, which is not followed: give the address that it ends at"
    return Answer(
        status=status,
        trouble=f"Expected a status from 200 to 299, found {found}.",
        retry_after_s=parse_retry_after(headers.get("retry-after")),
    )
